-- What a job depends on from now on.
WITH gone AS (
    DELETE FROM job_dependencies WHERE job_id = %(job_id)s AND reference <> ALL (%(references)s::text[])
)
INSERT INTO job_dependencies (job_id, reference, depends_on_id, depends_on_key)
SELECT %(job_id)s, given.reference, given.id, given.key FROM unnest(%(references)s::text[], %(ids)s::bigint[], %(keys)s::text[]) AS given (reference, id, key)
ON CONFLICT (job_id, reference) DO UPDATE SET depends_on_id = excluded.depends_on_id, depends_on_key = excluded.depends_on_key
