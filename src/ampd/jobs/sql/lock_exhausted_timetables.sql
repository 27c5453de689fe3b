-- Jobs that rest and have no time to come, locked.
SELECT id FROM jobs
WHERE rests AND state = 'SCHEDULED' AND next_run_at IS NULL AND queued_firings = 0
ORDER BY id
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED
