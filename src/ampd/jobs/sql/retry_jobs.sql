-- Ended jobs run again, as an operator asks: another execution of the same job with the same options. Their failures stay in their count, and
-- limit nothing any more. The rows are locked by lock_job or lock_jobs.
WITH before AS (
    SELECT id, state FROM jobs WHERE id = ANY (%(job_ids)s::bigint[]) AND coalesce(state = ANY (%(from_states)s), false) -- see assign_jobs.sql
), job AS (
    UPDATE jobs
    SET state = 'SCHEDULED', run_at = now() + make_interval(secs => %(delay_seconds)s), retries_before = jobs.retry_count,
        lost_worker_count = 0, stop_reason = NULL, rests = false,
        fires_after = CASE WHEN jobs.recurring THEN now() END, -- the fire times meanwhile were not missed
        execution_number = jobs.execution_number + 1, started_at = NULL, ended_at = NULL,
        worker_id = NULL, worker_incarnation = NULL, updated_at = now()
    FROM before
    WHERE jobs.id = before.id
    RETURNING jobs.id, jobs.input, jobs.execution_number, jobs.lease_epoch, before.state AS from_state
), execution AS (
    INSERT INTO job_executions (job_id, number, input, from_epoch) SELECT id, execution_number, input, lease_epoch FROM job
), progress AS (
    DELETE FROM job_progress WHERE job_id = ANY (ARRAY(SELECT id FROM job))
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch, detail)
    SELECT id, %(actor)s, 'SCHEDULED', from_state, execution_number, lease_epoch, jsonb_build_object('retry', true) FROM job
)
SELECT id, 'SCHEDULED' AS state, NULL AS worker_id FROM job
