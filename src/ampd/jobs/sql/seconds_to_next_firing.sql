-- How long it is until the next fire time, by the database's clock; NULL when there is none.
SELECT extract(epoch FROM next_run_at - clock_timestamp())::float8 AS seconds
FROM jobs
WHERE recurring AND next_run_at IS NOT NULL AND queued_firings < 1000 AND state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING')
ORDER BY next_run_at
LIMIT 1
