-- Jobs that wait for a retry are tried again at another time, as an operator asks. The rows are locked by lock_job or lock_jobs.
WITH job AS (
    UPDATE jobs SET run_at = now() + make_interval(secs => %(delay_seconds)s), updated_at = now()
    WHERE id = ANY (%(job_ids)s::bigint[])
      AND coalesce(state = 'SCHEDULED' AND worker_id IS NULL AND run_at > now() AND retry_count > 0 AND NOT rests, false) -- see assign_jobs.sql
    RETURNING id, execution_number, lease_epoch
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch, detail)
    SELECT id, %(actor)s, 'SCHEDULED', 'SCHEDULED', execution_number, lease_epoch, jsonb_build_object('hastened', true) FROM job
)
SELECT id, 'SCHEDULED' AS state, NULL AS worker_id FROM job
