-- A job, locked before it is judged: the statements after this one see all that had been committed when the lock was got,
-- also rows of its attempts and executions. One statement that locks and judges would see them as they were at its beginning.
SELECT id, state, stop_intent, worker_id IS NULL AND run_at > now() AND retry_count > 0 AND NOT rests AS waits_to_retry
FROM jobs WHERE id = %(job_id)s FOR UPDATE
