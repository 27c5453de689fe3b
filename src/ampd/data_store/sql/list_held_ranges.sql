-- What a worker process has, and what shall become of it.
SELECT l.id, l.job_id, l.epoch, p.stops OR j.state IN ('STOP_REQUESTED', 'STOPPING', 'PAUSED') AS stops, j.state = ANY (%(terminal_states)s) AS is_over
FROM block_range_leases l
JOIN extraction_plans p ON p.job_id = l.job_id
JOIN jobs j ON j.id = l.job_id
WHERE l.incarnation = %(incarnation)s
