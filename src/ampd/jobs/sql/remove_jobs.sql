-- Jobs that have ended; their events stay (design section 4.6). Rows are deleted by arrays of ids: by a join whole tables may be read. The rows
-- are locked by lock_job or lock_jobs.
WITH deleted AS (
    DELETE FROM jobs
    WHERE id = ANY (%(job_ids)s::bigint[]) AND coalesce(state = ANY (%(terminal_states)s), false) -- see assign_jobs.sql
    RETURNING id, execution_number, lease_epoch, state
), attempt AS (
    DELETE FROM job_attempts WHERE job_id = ANY (ARRAY(SELECT id FROM deleted))
), firing AS (
    DELETE FROM job_firings WHERE job_id = ANY (ARRAY(SELECT id FROM deleted))
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch)
    SELECT id, %(actor)s, 'DELETED', state, execution_number, lease_epoch FROM deleted
)
SELECT id, state, NULL AS worker_id FROM deleted
