-- A job that an operator asked for, its first execution (which a job with a timetable gets later), and what its input hides; no row when the
-- idempotency key is taken.
WITH job AS (
    INSERT INTO jobs (kind, idempotency_key, request_hash, state, input, labels, worker_selector, priority, retries, retry_policy,
                      dependencies_met, schedule, recurring, rests, next_run_at, run_at, execution_number, execution_count)
    VALUES (%(kind)s, %(idempotency_key)s, %(request_hash)s, 'SCHEDULED', %(input)s, %(labels)s, %(worker_selector)s, %(priority)s,
            %(retries)s, %(retry_policy)s, %(dependencies_met)s, %(schedule)s, %(recurring)s, %(recurring)s, %(next_run_at)s,
            coalesce(%(run_at)s, now()), CASE WHEN %(recurring)s THEN 0 ELSE 1 END,
            CASE WHEN %(recurring)s THEN 0 END)
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id, input, execution_number, lease_epoch
), execution AS (
    INSERT INTO job_executions (job_id, number, input) SELECT id, execution_number, input FROM job WHERE execution_number > 0
), hidden AS (
    INSERT INTO job_secrets (job_id, secrets) SELECT id, %(secrets)s::jsonb FROM job WHERE %(secrets)s::jsonb IS NOT NULL
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, execution_number, lease_epoch, detail)
    SELECT id, %(actor)s, 'SCHEDULED', execution_number, lease_epoch, input FROM job
)
SELECT id FROM job
