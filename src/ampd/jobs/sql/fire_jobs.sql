-- What has been decided about the due times of locked jobs (plan_firing): the rows of their times, what comes next, and the executions that
-- begin. An execution begins by the row of its time: a time that has one already begins nothing.
WITH given AS (
    SELECT * FROM unnest(%(job_ids)s::bigint[], %(next_run_ats)s::timestamptz[], %(queued_firings)s::integer[], %(queued_begins)s::timestamptz[])
        AS given (job_id, next_run_at, queued_firings, queued_begin)
), recorded AS (
    INSERT INTO job_firings (job_id, fire_time, outcome, last_time, times, execution_number, fired_at, lateness_ms)
    SELECT r.job_id, r.fire_time, r.outcome, r.last_time, r.times, fired.number, fired.at,
           least(extract(epoch FROM fired.at - r.fire_time) * 1000, 2147483647)
    FROM unnest(%(fired_job_ids)s::bigint[], %(fire_times)s::timestamptz[], %(outcomes)s::text[], %(last_times)s::timestamptz[],
                %(times)s::integer[]) AS r (job_id, fire_time, outcome, last_time, times)
    JOIN jobs j ON j.id = r.job_id AND j.id = ANY (%(job_ids)s::bigint[])
    LEFT JOIN LATERAL (SELECT j.execution_number + 1 AS number, clock_timestamp() AS at) fired ON r.outcome = 'FIRED'
    ON CONFLICT DO NOTHING
    RETURNING job_id, fire_time, execution_number
), taken AS (
    UPDATE job_firings f
    SET outcome = 'FIRED', execution_number = j.execution_number + 1, fired_at = clock_timestamp(),
        lateness_ms = least(extract(epoch FROM clock_timestamp() - f.fire_time) * 1000, 2147483647)
    FROM given
    JOIN jobs j ON j.id = given.job_id
    WHERE f.job_id = given.job_id AND f.fire_time = given.queued_begin AND f.outcome = 'QUEUED'
    RETURNING f.job_id, f.fire_time
), begun AS (
    -- Of what is not NULL the planner expects most, of an outcome few: it would look through all of them for each job.
    SELECT job_id, fire_time FROM recorded WHERE execution_number IS NOT NULL UNION ALL SELECT job_id, fire_time FROM taken
), job AS (
    UPDATE jobs
    SET next_run_at = given.next_run_at,
        queued_firings = given.queued_firings,
        rests = jobs.rests AND begun.fire_time IS NULL,
        run_at = coalesce(begun.fire_time, CASE WHEN jobs.rests THEN given.next_run_at END, jobs.run_at),
        execution_number = jobs.execution_number + begins.more,
        execution_count = jobs.execution_count + begins.more,
        started_at = CASE WHEN begins.more = 0 THEN jobs.started_at END,
        retry_count = jobs.retry_count * (1 - begins.more),
        retries_before = jobs.retries_before * (1 - begins.more),
        lost_worker_count = jobs.lost_worker_count * (1 - begins.more),
        updated_at = CASE WHEN begins.more = 0 THEN jobs.updated_at ELSE now() END
    FROM given
    LEFT JOIN begun ON begun.job_id = given.job_id
    CROSS JOIN LATERAL (SELECT CASE WHEN begun.fire_time IS NULL THEN 0 ELSE 1 END AS more) begins
    WHERE jobs.id = given.job_id AND jobs.id = ANY (%(job_ids)s::bigint[])
    RETURNING jobs.id, jobs.input, jobs.execution_number, jobs.lease_epoch, begun.fire_time
), execution AS (
    INSERT INTO job_executions (job_id, number, input, from_epoch)
    SELECT id, execution_number, input, lease_epoch FROM job WHERE fire_time IS NOT NULL
), progress AS (
    DELETE FROM job_progress WHERE job_id = ANY (ARRAY(SELECT id FROM job WHERE fire_time IS NOT NULL))
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch, detail)
    SELECT id, %(actor)s, 'SCHEDULED', 'SCHEDULED', execution_number, lease_epoch, jsonb_build_object('fire_time', fire_time)
    FROM job WHERE fire_time IS NOT NULL
)
SELECT id, fire_time FROM job WHERE fire_time IS NOT NULL
