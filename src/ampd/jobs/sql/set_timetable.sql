-- Another schedule for a job; the row is locked by lock_timetable. What runs, or waits to run, goes on as it is.
WITH job AS (
    UPDATE jobs
    SET schedule = %(schedule)s, next_run_at = %(next_run_at)s, run_at = coalesce(%(run_at)s, run_at), fires_after = NULL, updated_at = now()
    WHERE id = %(job_id)s
    RETURNING id, state, execution_number, lease_epoch, schedule
)
INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch, detail)
SELECT id, %(actor)s, 'RESCHEDULED', state, execution_number, lease_epoch, schedule FROM job
