-- The plan of a running job, locked: those who lease its ranges take turns.
SELECT p.parallelism FROM extraction_plans p
JOIN jobs j ON j.id = p.job_id
WHERE p.job_id = %(job_id)s AND NOT p.stops AND j.state = 'RUNNING'
FOR UPDATE OF p
