-- The jobs that a new execution depends on, held against deletion until it is written. Nothing completes meanwhile: lock_dependency_graph.sql.
SELECT id, idempotency_key, state FROM jobs
WHERE id = ANY (ARRAY(
    SELECT unnest(%(job_ids)s::bigint[])
    UNION
    SELECT other.id FROM unnest(%(keys)s::text[]) AS given (key) JOIN jobs other ON other.idempotency_key = given.key))
ORDER BY id
FOR KEY SHARE
