-- How the executions of a job have ended, of those that have begun or ended.
SELECT count(*) AS total, count(*) FILTER (WHERE e.outcome = 'COMPLETED') AS successful, count(*) FILTER (WHERE e.outcome = 'FAILED') AS failed
FROM job_executions e
JOIN jobs j ON j.id = e.job_id
WHERE e.job_id = %(job_id)s AND (e.number < j.execution_number OR e.finished_at IS NOT NULL OR j.started_at IS NOT NULL)
