-- The running jobs that have a free range and a lane for it, in the order in which they are helped.
SELECT j.id AS job_id, j.input, j.worker_selector, j.execution_number,
       (SELECT count(*) FROM job_attempts a
        WHERE a.job_id = j.id AND a.lease_epoch > e.from_epoch AND a.started_at IS NOT NULL)::integer AS attempt
FROM extraction_plans p
JOIN jobs j ON j.id = p.job_id
LEFT JOIN job_executions e ON e.job_id = j.id AND e.number = j.execution_number
WHERE p.job_id IN (SELECT l.job_id FROM block_range_leases l WHERE l.state = 'FREE')
  AND NOT p.stops AND j.state = 'RUNNING'
  AND (SELECT count(*) FROM block_range_leases h WHERE h.job_id = p.job_id AND h.state = 'READING'
         AND h.id IS DISTINCT FROM %(closing_id)s::bigint) < p.parallelism
ORDER BY j.priority DESC, j.id
