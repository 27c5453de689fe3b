-- Jobs with a timetable that rest while a fire time waits to be run, locked. Those that somebody else looks at are left to him.
SELECT id, state, stop_intent, schedule, next_run_at, rests, execution_count, queued_firings, fires_after, now() AS now
FROM jobs
WHERE rests AND state = 'SCHEDULED' AND queued_firings > 0
ORDER BY id
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED
