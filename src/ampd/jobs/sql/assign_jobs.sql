-- Due jobs go to workers: each assignment is a new attempt with a new lease epoch. A job that was stopped, or bound to other workers, since it
-- was read is left out, one that somebody changes at this moment too: a later placement finds it.
WITH given AS (
    SELECT * FROM unnest(%(job_ids)b::bigint[], %(selectors)s::text[], %(node_ids)b::text[], %(incarnations)b::uuid[])
        AS given (job_id, worker_selector, node_id, incarnation)
), locked AS (
    SELECT given.job_id, given.node_id, given.incarnation,
           -- Since when it could be placed: from its time on, or from its last change, such as the end of what it waited for.
           greatest(0, extract(epoch FROM clock_timestamp() - greatest(j.run_at, j.updated_at)))::float8 AS waited_seconds
    FROM given
    JOIN jobs j ON j.id = given.job_id
    -- By their ids, and nothing else: along an index of their states all jobs that wait might be read. The planner takes ids and states for
    -- independent: it would also expect no row, and look through all that is given for each.
    WHERE j.id = ANY (%(job_ids)b::bigint[])
      AND coalesce(j.state = 'SCHEDULED' AND j.worker_id IS NULL AND j.dependencies_met AND j.run_at <= statement_timestamp() AND NOT j.rests, false)
      AND j.worker_selector IS NOT DISTINCT FROM given.worker_selector
    ORDER BY j.id
    FOR NO KEY UPDATE OF j SKIP LOCKED
), assigned AS (
    UPDATE jobs
    SET worker_id = locked.node_id, worker_incarnation = locked.incarnation, lease_epoch = lease_epoch + 1, updated_at = now()
    FROM locked
    WHERE jobs.id = locked.job_id
    RETURNING jobs.id, jobs.worker_id, jobs.worker_incarnation, jobs.lease_epoch, jobs.execution_number, jobs.kind, locked.waited_seconds
), attempt AS (
    INSERT INTO job_attempts (job_id, lease_epoch, execution_number, worker_id, worker_incarnation)
    SELECT id, lease_epoch, execution_number, worker_id, worker_incarnation FROM assigned
)
SELECT id, worker_id, worker_incarnation, lease_epoch, kind, waited_seconds FROM assigned
