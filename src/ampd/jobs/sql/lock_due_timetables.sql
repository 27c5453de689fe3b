-- The jobs with a timetable whose next time has come, the longest waiting first, locked. Those that somebody else looks at are left to him.
SELECT id, state, stop_intent, schedule, next_run_at, rests, execution_count, queued_firings, fires_after, now() AS now
FROM jobs
WHERE recurring AND next_run_at <= statement_timestamp() AND queued_firings < 1000
  AND state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING')
ORDER BY next_run_at
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED
