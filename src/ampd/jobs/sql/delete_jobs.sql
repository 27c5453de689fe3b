-- The next portion of the jobs in one state, in the order of their ids; their events stay (design section 4.6). Rows are deleted by arrays of
-- ids: by a join whole tables may be read.
WITH doomed AS (
    SELECT id FROM jobs
    WHERE state = %(state)s AND id > %(after_id)s AND id <= %(max_id)s
    ORDER BY id
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM doomed)) RETURNING id, execution_number, lease_epoch, state
), attempt AS (
    DELETE FROM job_attempts WHERE job_id = ANY (ARRAY(SELECT id FROM deleted))
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch)
    SELECT id, %(actor)s, 'DELETED', state, execution_number, lease_epoch FROM deleted
)
SELECT count(*) AS deleted, max(id) AS last_id FROM deleted
