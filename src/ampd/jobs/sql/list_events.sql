-- A page of the history of a job, oldest first.
SELECT id, job_id, created_at, actor, event_type, from_state, node_id, execution_number, lease_epoch, detail
FROM job_events
WHERE job_id = %(job_id)s AND id > %(after_id)s
ORDER BY id
LIMIT %(limit)s
