-- One transition of any number of jobs: for each a compare-and-swap on its state (and, for a worker, on its lease), the attempt and execution
-- that it ends, and its event. Jobs that are in none of the states, or whose lease is not the current one, are left as they are and out of
-- the answer.
WITH given AS (
    SELECT * FROM unnest(
        %(job_ids)s::bigint[], %(lease_epochs)s::bigint[], %(incarnations)s::uuid[], %(node_ids)s::text[], %(actors)s::text[],
        %(delays)s::float8[], %(retry_counts)s::integer[], %(errors)s::jsonb[], %(details)s::jsonb[]
    ) AS given (job_id, lease_epoch, incarnation, node_id, actor, delay_seconds, retry_count, error, detail)
), before AS (
    SELECT given.*, j.state
    FROM given
    JOIN jobs j ON j.id = given.job_id
    WHERE j.id = ANY (%(job_ids)s::bigint[]) AND coalesce(j.state = ANY (%(from_states)s), false) -- see assign_jobs.sql
      AND (given.incarnation IS NULL OR (j.lease_epoch = given.lease_epoch AND j.worker_incarnation = given.incarnation))
    ORDER BY j.id -- always in this order: two batches never wait for each other
    FOR NO KEY UPDATE OF j
), moved AS (
    UPDATE jobs
    SET state = targets.to_state,
        -- A job that waits again belongs to nobody; an ended one still shows who had it.
        worker_id = CASE WHEN targets.to_state = 'SCHEDULED' THEN NULL ELSE jobs.worker_id END,
        worker_incarnation = CASE WHEN targets.to_state = ANY (%(held_states)s) THEN jobs.worker_incarnation END,
        run_at = coalesce(now() + make_interval(secs => before.delay_seconds), jobs.run_at),
        retry_count = coalesce(before.retry_count, jobs.retry_count),
        lost_worker_count = jobs.lost_worker_count + %(lost_workers)s,
        last_error = CASE WHEN %(clear_error)s THEN NULL ELSE coalesce(before.error, jobs.last_error) END,
        stop_deadline = CASE
            WHEN targets.to_state = 'STOP_REQUESTED' THEN now() + make_interval(secs => %(stop_seconds)s)
            WHEN targets.to_state = 'STOPPING' THEN jobs.stop_deadline
        END,
        updated_at = now()
    FROM before
    JOIN unnest(%(from_states)s::text[], %(to_states)s::text[]) AS targets (from_state, to_state) ON targets.from_state = before.state
    WHERE jobs.id = before.job_id
    RETURNING jobs.id, jobs.state, before.state AS from_state, jobs.worker_id, jobs.execution_number, jobs.lease_epoch,
              jobs.idempotency_key, before.node_id, before.actor, before.error, before.detail,
              jobs.state = ANY (%(terminal_states)s) AS is_terminal
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, node_id, execution_number, lease_epoch, detail)
    SELECT m.id, m.actor, m.state, m.from_state, coalesce(m.worker_id, m.node_id), m.execution_number, m.lease_epoch,
           coalesce(m.error, m.detail)
    FROM moved m
), attempt AS (
    UPDATE job_attempts a
    SET started_at = CASE WHEN m.state = 'RUNNING' THEN now() ELSE a.started_at END,
        finished_at = CASE WHEN m.state = ANY (%(held_states)s) THEN NULL ELSE now() END,
        outcome = CASE WHEN m.state = ANY (%(held_states)s) THEN NULL WHEN m.is_terminal THEN m.state ELSE %(outcome)s END,
        error = m.error
    FROM moved m
    WHERE a.job_id = m.id AND a.lease_epoch = m.lease_epoch AND a.finished_at IS NULL
), execution AS (
    UPDATE job_executions e SET finished_at = now(), outcome = m.state, error = m.error
    FROM moved m WHERE m.is_terminal AND e.job_id = m.id AND e.number = m.execution_number
)
SELECT id, state, worker_id, lease_epoch, idempotency_key FROM moved
