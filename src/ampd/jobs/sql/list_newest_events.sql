-- A page of the history of a job, newest first.
SELECT id, job_id, created_at, actor, event_type, from_state, node_id, execution_number, lease_epoch, detail
FROM job_events
WHERE job_id = %(job_id)s AND id < %(before_id)s
ORDER BY id DESC
LIMIT %(limit)s
