-- The next portion of jobs by their ids; of these the ones that ended longer ago than they are kept are deleted. Their events stay.
WITH seen AS (
    SELECT id FROM jobs WHERE id > %(after_id)s ORDER BY id LIMIT %(batch)s
), doomed AS (
    SELECT j.id
    FROM seen
    JOIN jobs j ON j.id = seen.id
    WHERE j.state = ANY (%(terminal_states)s) AND j.updated_at < now() - make_interval(secs => %(age_seconds)s)
    ORDER BY j.id
    FOR UPDATE OF j SKIP LOCKED
), deleted AS (
    DELETE FROM jobs USING doomed WHERE jobs.id = doomed.id RETURNING jobs.id, jobs.execution_number, jobs.lease_epoch, jobs.state
), attempt AS (
    DELETE FROM job_attempts a USING deleted WHERE a.job_id = deleted.id
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch)
    SELECT id, %(actor)s, 'DELETED', state, execution_number, lease_epoch FROM deleted
)
SELECT (SELECT max(id) FROM seen) AS last_id, (SELECT count(*) FROM deleted) AS deleted
