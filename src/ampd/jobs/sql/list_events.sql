-- The history of a job, oldest first.
SELECT id, job_id, created_at, actor, event_type, from_state, node_id, execution_number, lease_epoch, detail
FROM job_events
WHERE job_id = %(job_id)s AND (%(event_id)s::bigint IS NULL OR id = %(event_id)s)
ORDER BY id
