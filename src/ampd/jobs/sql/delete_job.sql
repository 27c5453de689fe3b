-- One job that has ended; its events stay (design section 4.6).
WITH deleted AS (
    DELETE FROM jobs WHERE id = %(job_id)s AND state = ANY (%(terminal_states)s) RETURNING id, execution_number, lease_epoch, state
), attempt AS (
    DELETE FROM job_attempts a USING deleted WHERE a.job_id = deleted.id
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch)
    SELECT id, %(actor)s, 'DELETED', state, execution_number, lease_epoch FROM deleted
)
SELECT id FROM deleted
