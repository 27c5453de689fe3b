-- How many jobs of a filter are in which state, and how often they had to be tried again, of any filter: it reads every job that there is.
SELECT count(*) AS total,
       count(*) FILTER (WHERE state = 'SCHEDULED' AND run_at > now()) AS scheduled,
       count(*) FILTER (WHERE state = 'SCHEDULED' AND run_at <= now()) AS queued,
       count(*) FILTER (WHERE state IN ('RUNNING', 'STOP_REQUESTED', 'STOPPING')) AS running,
       count(*) FILTER (WHERE state = 'PAUSED') AS paused,
       count(*) FILTER (WHERE state = 'COMPLETED') AS completed,
       count(*) FILTER (WHERE state = 'STOPPED') AS cancelled,
       count(*) FILTER (WHERE state = 'FAILED') AS failed,
       count(*) FILTER (WHERE state = 'COMPLETED' AND total_retries = 0) AS completed_first_try,
       count(*) FILTER (WHERE state = 'COMPLETED' AND total_retries > 0) AS completed_after_retry,
       avg(total_retries) FILTER (WHERE state IN ('COMPLETED', 'FAILED'))::float8 AS avg_retry_count
FROM jobs
WHERE {conditions}
