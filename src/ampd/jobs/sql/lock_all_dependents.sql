-- Jobs that wait for others, locked, in portions: the net below the releases of single completions.
SELECT id FROM jobs
WHERE state = 'SCHEDULED' AND NOT dependencies_met AND id > %(after_id)s
ORDER BY id
LIMIT 1000
FOR NO KEY UPDATE SKIP LOCKED
