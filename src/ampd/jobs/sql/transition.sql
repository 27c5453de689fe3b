-- One transition: compare-and-swap on the state (and, for a worker, on its lease), the attempt and execution it ends, and its event.
-- No row: the job is not in one of the states, or the lease is not the current one. Nothing has changed then.
WITH before AS (
    SELECT id, state FROM jobs
    WHERE id = %(job_id)s AND state = ANY (%(from_states)s)
      AND (%(incarnation)s::uuid IS NULL
           OR (lease_epoch = %(lease_epoch)s AND worker_incarnation = %(incarnation)s))
    FOR UPDATE
), moved AS (
    UPDATE jobs
    SET state = targets.to_state,
        -- A job that waits again belongs to nobody; an ended one still shows who had it.
        worker_id = CASE WHEN targets.to_state = 'SCHEDULED' THEN NULL ELSE jobs.worker_id END,
        worker_incarnation = CASE WHEN targets.to_state = ANY (%(held_states)s) THEN jobs.worker_incarnation END,
        run_at = coalesce(now() + make_interval(secs => %(delay_seconds)s), jobs.run_at),
        retry_count = coalesce(%(retry_count)s, jobs.retry_count),
        lost_worker_count = jobs.lost_worker_count + %(lost_workers)s,
        last_error = CASE WHEN %(clear_error)s THEN NULL ELSE coalesce(%(error)s, jobs.last_error) END,
        updated_at = now()
    FROM before, unnest(%(from_states)s::text[], %(to_states)s::text[]) AS targets (from_state, to_state)
    WHERE jobs.id = before.id AND targets.from_state = before.state
    RETURNING jobs.id, jobs.state, before.state AS from_state, jobs.worker_id, jobs.execution_number, jobs.lease_epoch,
              jobs.state = ANY (%(terminal_states)s) AS is_terminal
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, node_id, execution_number, lease_epoch, detail)
    SELECT m.id, %(actor)s, m.state, m.from_state, coalesce(m.worker_id, %(node_id)s), m.execution_number, m.lease_epoch,
           coalesce(%(error)s, %(detail)s)
    FROM moved m
), attempt AS (
    UPDATE job_attempts a
    SET started_at = CASE WHEN m.state = 'RUNNING' THEN now() ELSE a.started_at END,
        finished_at = CASE WHEN m.state = ANY (%(held_states)s) THEN NULL ELSE now() END,
        outcome = CASE WHEN m.state = ANY (%(held_states)s) THEN NULL WHEN m.is_terminal THEN m.state ELSE %(outcome)s END,
        error = %(error)s
    FROM moved m
    WHERE a.job_id = m.id AND a.lease_epoch = m.lease_epoch AND a.finished_at IS NULL
), execution AS (
    UPDATE job_executions e SET finished_at = now(), outcome = m.state, error = %(error)s
    FROM moved m WHERE m.is_terminal AND e.job_id = m.id AND e.number = m.execution_number
)
SELECT id, state, worker_id, lease_epoch FROM moved
