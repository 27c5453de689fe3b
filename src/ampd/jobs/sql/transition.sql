-- One transition of any number of jobs: for each a compare-and-swap on its state (and, for a worker, on its lease), the attempt and execution
-- that it ends, and its event. Jobs that are in none of the states, or of whose stop is to become something else, or whose lease is not the
-- current one, are left as they are and out of the answer.
WITH given AS (
    SELECT * FROM unnest(
        %(job_ids)b::bigint[], %(lease_epochs)b::bigint[], %(incarnations)b::uuid[], %(node_ids)b::text[], %(actors)b::text[],
        %(delays)s::float8[], %(retry_counts)s::integer[], %(errors)s::jsonb[], %(details)s::jsonb[], %(reasons)s::text[],
        %(execution_outcomes)s::text[]
    ) AS given (job_id, lease_epoch, incarnation, node_id, actor, delay_seconds, retry_count, error, detail, reason, execution_outcome)
), before AS (
    SELECT given.*, j.state, coalesce(j.stop_intent, 'STOP') AS stop_intent, j.recurring, j.rests
    FROM given
    JOIN jobs j ON j.id = given.job_id
    WHERE j.id = ANY (%(job_ids)b::bigint[]) AND coalesce(j.state = ANY (%(from_states)s), false) -- see assign_jobs.sql
      AND (given.incarnation IS NULL OR (j.lease_epoch = given.lease_epoch AND j.worker_incarnation = given.incarnation))
    ORDER BY j.id -- always in this order: two batches never wait for each other
    FOR NO KEY UPDATE OF j
), targets AS (
    SELECT before.*, moves.to_state,
           -- A job with a timetable goes on with its next execution: what ends, or sets it aside, ends this one.
           before.recurring AND (moves.to_state = 'PAUSED' OR (moves.to_state = 'SCHEDULED' AND (
               before.rests OR before.execution_outcome IS NOT NULL OR before.state = ANY (%(stop_states)s)))) AS will_rest
    FROM before
    JOIN unnest(%(from_states)s::text[], %(from_intents)s::text[], %(to_states)s::text[]) AS moves (from_state, from_intent, to_state)
        ON moves.from_state = before.state AND coalesce(moves.from_intent = before.stop_intent, true)
), moved AS (
    UPDATE jobs
    SET state = targets.to_state,
        -- A job that waits again belongs to nobody; an ended one still shows who had it.
        worker_id = CASE WHEN targets.to_state IN ('SCHEDULED', 'PAUSED') THEN NULL ELSE jobs.worker_id END,
        worker_incarnation = CASE WHEN targets.to_state = ANY (%(held_states)s) THEN jobs.worker_incarnation END,
        run_at = coalesce(CASE WHEN targets.will_rest THEN jobs.next_run_at END, now() + make_interval(secs => targets.delay_seconds), jobs.run_at),
        rests = targets.will_rest,
        queued_firings = CASE WHEN targets.to_state = ANY (%(terminal_states)s) OR targets.to_state = 'PAUSED' THEN 0 ELSE jobs.queued_firings END,
        fires_after = CASE WHEN targets.state = 'PAUSED' AND targets.to_state = 'SCHEDULED' THEN now() ELSE jobs.fires_after END,
        retry_count = coalesce(targets.retry_count, jobs.retry_count),
        retries_before = least(jobs.retries_before, targets.retry_count),
        total_retries = jobs.total_retries + CASE WHEN %(is_retry)s THEN 1 ELSE 0 END,
        lost_worker_count = jobs.lost_worker_count + %(lost_workers)s,
        last_error = CASE WHEN %(clear_error)s THEN NULL ELSE coalesce(targets.error, jobs.last_error) END,
        -- It runs from the first time that a stop is asked for: who changes his mind does not put it off.
        stop_deadline = CASE
            WHEN targets.to_state = ANY (%(stop_states)s) THEN coalesce(jobs.stop_deadline, now() + make_interval(secs => %(stop_seconds)s))
        END,
        stop_intent = CASE WHEN targets.to_state = ANY (%(stop_states)s) THEN coalesce(%(new_intent)s, targets.stop_intent) END,
        stop_reason = CASE
            WHEN %(new_intent)s::text IS NOT NULL THEN targets.reason
            WHEN targets.to_state = ANY (%(stop_states)s) OR targets.to_state IN ('STOPPED', 'PAUSED') THEN jobs.stop_reason
        END,
        started_at = CASE WHEN targets.to_state = 'RUNNING' THEN coalesce(jobs.started_at, now()) ELSE jobs.started_at END,
        ended_at = CASE WHEN targets.to_state = ANY (%(terminal_states)s) THEN now() END,
        updated_at = now()
    FROM targets
    WHERE jobs.id = targets.job_id
    RETURNING jobs.id, jobs.state, targets.state AS from_state, jobs.worker_id, jobs.execution_number, jobs.lease_epoch,
              jobs.idempotency_key, targets.node_id, targets.actor, targets.error, targets.detail, jobs.stop_intent, jobs.stop_reason,
              targets.execution_outcome AS given_outcome,
              coalesce(targets.execution_outcome, CASE
                  WHEN jobs.state = ANY (%(terminal_states)s) THEN jobs.state
                  WHEN targets.will_rest THEN 'STOPPED'
              END) AS execution_outcome,
              targets.recurring AND (jobs.state = 'PAUSED' OR jobs.state = ANY (%(terminal_states)s)) AS drops_queue
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, node_id, execution_number, lease_epoch, detail)
    SELECT m.id, m.actor, m.state, m.from_state, coalesce(m.worker_id, m.node_id), m.execution_number, m.lease_epoch,
           CASE
               WHEN coalesce(m.stop_intent, 'STOP') = 'STOP' AND m.stop_reason IS NULL THEN coalesce(m.error || m.detail, m.error, m.detail)
               ELSE coalesce(m.error || m.detail, m.error, m.detail, '{}')
                   || CASE WHEN m.stop_intent <> 'STOP' THEN jsonb_build_object('intent', m.stop_intent) ELSE '{}' END
                   || CASE WHEN m.stop_reason IS NOT NULL THEN jsonb_build_object('reason', m.stop_reason) ELSE '{}' END
           END
    FROM moved m
), attempt AS (
    UPDATE job_attempts a
    SET started_at = CASE WHEN m.state = 'RUNNING' THEN now() ELSE a.started_at END,
        finished_at = CASE WHEN m.state = ANY (%(held_states)s) THEN NULL ELSE now() END,
        outcome = CASE
            WHEN m.state = ANY (%(held_states)s) THEN NULL
            ELSE coalesce(m.given_outcome, CASE WHEN m.state = 'SCHEDULED' THEN %(outcome)s ELSE m.state END)
        END,
        error = m.error
    FROM moved m
    WHERE a.job_id = m.id AND a.lease_epoch = m.lease_epoch AND a.finished_at IS NULL
), execution AS (
    UPDATE job_executions e SET finished_at = now(), outcome = m.execution_outcome, error = m.error
    FROM moved m WHERE m.execution_outcome IS NOT NULL AND e.job_id = m.id AND e.number = m.execution_number AND e.finished_at IS NULL
), firing AS (
    -- Fire times that wait for the end of an execution wait in vain where the job ends or is set aside.
    UPDATE job_firings f SET outcome = 'SKIPPED'
    FROM moved m WHERE m.drops_queue AND f.job_id = m.id AND f.outcome = 'QUEUED'
)
SELECT id, state, worker_id, lease_epoch, idempotency_key FROM moved
