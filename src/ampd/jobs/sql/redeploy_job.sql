-- A terminal job runs again: another execution of the same job, or its timetable begins again. The row is locked by lock_job_by_key.
WITH job AS (
    UPDATE jobs
    SET state = 'SCHEDULED', input = %(input)s, labels = %(labels)s, worker_selector = %(worker_selector)s, priority = %(priority)s,
        retries = %(retries)s, retry_policy = %(retry_policy)s, dependencies_met = %(dependencies_met)s,
        schedule = %(schedule)s, recurring = %(recurring)s, rests = %(recurring)s, next_run_at = %(next_run_at)s, fires_after = NULL,
        run_at = coalesce(%(run_at)s, now()), execution_count = CASE WHEN %(recurring)s THEN 0 END,
        retry_count = 0, retries_before = 0, total_retries = 0, lost_worker_count = 0, last_error = NULL, stop_reason = NULL,
        execution_number = execution_number + CASE WHEN %(recurring)s THEN 0 ELSE 1 END, started_at = NULL, ended_at = NULL,
        worker_id = NULL, worker_incarnation = NULL, updated_at = now()
    WHERE id = %(id)s AND state = ANY (%(from_states)s)
    RETURNING id, input, execution_number, lease_epoch
), execution AS (
    INSERT INTO job_executions (job_id, number, input, from_epoch) SELECT id, execution_number, input, lease_epoch FROM job WHERE NOT %(recurring)s
), progress AS (
    DELETE FROM job_progress USING job WHERE job_progress.job_id = job.id
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch, detail)
    SELECT id, %(actor)s, 'SCHEDULED', %(from_state)s, execution_number, lease_epoch, input FROM job
)
SELECT id FROM job
