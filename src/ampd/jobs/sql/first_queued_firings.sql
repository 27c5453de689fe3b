-- Of some locked jobs, the first fire time that waits for the end of an execution.
SELECT DISTINCT ON (job_id) job_id, fire_time
FROM job_firings
WHERE job_id = ANY (%(job_ids)s::bigint[]) AND outcome = 'QUEUED'
ORDER BY job_id, fire_time
