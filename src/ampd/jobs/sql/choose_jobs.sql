-- What there is to judge of a portion of jobs, the newest first. Its rows are chosen as those of list_jobs.sql are.
SELECT j.id, j.state, j.stop_intent, j.worker_id IS NULL AND j.run_at > now() AND j.retry_count > 0 AS waits_to_retry
FROM ({chosen}) j
ORDER BY j.id DESC
