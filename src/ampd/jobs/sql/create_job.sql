-- A job that an operator asked for, its first execution, and what its input hides; no row when the idempotency key is taken.
WITH job AS (
    INSERT INTO jobs (kind, idempotency_key, request_hash, state, input, labels, worker_selector, priority, retries, retry_policy,
                      dependencies_met, run_at)
    VALUES (%(kind)s, %(idempotency_key)s, %(request_hash)s, 'SCHEDULED', %(input)s, %(labels)s, %(worker_selector)s, %(priority)s,
            %(retries)s, %(retry_policy)s, %(dependencies_met)s, greatest(now(), %(start_at)s::timestamptz))
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id, input, execution_number, lease_epoch
), execution AS (
    INSERT INTO job_executions (job_id, number, input) SELECT id, execution_number, input FROM job
), hidden AS (
    INSERT INTO job_secrets (job_id, secrets) SELECT id, %(secrets)s::jsonb FROM job WHERE %(secrets)s::jsonb IS NOT NULL
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, execution_number, lease_epoch, detail)
    SELECT id, %(actor)s, 'SCHEDULED', execution_number, lease_epoch, input FROM job
)
SELECT id FROM job
