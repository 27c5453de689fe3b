-- The jobs that a new execution depends on, held as they are until it is written: none completes in between unseen.
SELECT id, idempotency_key, state FROM jobs
WHERE id = ANY (ARRAY(
    SELECT unnest(%(job_ids)s::bigint[])
    UNION
    SELECT other.id FROM unnest(%(keys)s::text[]) AS given (key) JOIN jobs other ON other.idempotency_key = given.key))
ORDER BY id
FOR SHARE
