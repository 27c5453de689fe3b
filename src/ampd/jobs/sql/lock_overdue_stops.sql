-- Stops that have lasted longer than they may, locked.
SELECT id, worker_id FROM jobs
WHERE stop_deadline < statement_timestamp() AND state IN ('STOP_REQUESTED', 'STOPPING')
ORDER BY id
LIMIT 1000
FOR NO KEY UPDATE SKIP LOCKED
