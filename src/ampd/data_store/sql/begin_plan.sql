-- The plan of a job, begun (again) by the attempt that holds the job; the ranges that nobody has are planned anew.
WITH free AS (
    DELETE FROM block_range_leases WHERE job_id = %(job_id)s AND state IN ('FREE', 'DONE')
)
INSERT INTO extraction_plans (job_id, parallelism) VALUES (%(job_id)s, %(parallelism)s)
ON CONFLICT (job_id) DO UPDATE SET parallelism = excluded.parallelism, stops = false, updated_at = now()
