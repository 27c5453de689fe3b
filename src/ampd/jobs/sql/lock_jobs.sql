-- The same for many jobs. Those that somebody holds at the moment are left out: who has some of them waits for nobody (see bulk.py).
SELECT id, state, stop_intent, worker_id IS NULL AND run_at > now() AND retry_count > 0 AND NOT rests AS waits_to_retry
FROM jobs WHERE id = ANY (%(job_ids)s::bigint[])
ORDER BY id
FOR UPDATE SKIP LOCKED
