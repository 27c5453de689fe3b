-- The jobs that a new execution depends on, held as they are until it is written: none completes in between unseen.
SELECT id, idempotency_key, state FROM jobs
WHERE id = ANY (%(job_ids)s::bigint[]) OR idempotency_key = ANY (%(keys)s::text[])
ORDER BY id
FOR SHARE
