-- What jobs should do, and how they are tried again, for the worker that has them.
SELECT j.id, j.kind, j.input, j.retries, j.retry_count, j.retries_before, j.retry_policy, j.execution_number,
       (SELECT count(*) FROM job_attempts a
        WHERE a.job_id = j.id AND a.lease_epoch > e.from_epoch AND a.started_at IS NOT NULL)::integer AS attempt
FROM jobs j
LEFT JOIN job_executions e ON e.job_id = j.id AND e.number = j.execution_number
WHERE j.id = ANY (%(job_ids)s::bigint[])
