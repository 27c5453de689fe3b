-- The next portion of jobs by their ids; of these the ones that ended longer ago than they are kept are deleted. Their events stay. Rows are
-- deleted by arrays of ids: by a join whole tables may be read.
WITH seen AS (
    SELECT id, state = ANY (%(terminal_states)s) AND updated_at < now() - make_interval(secs => %(age_seconds)s) AS is_old
    FROM jobs WHERE id > %(after_id)s ORDER BY id LIMIT %(batch)s
), doomed AS (
    SELECT id FROM jobs
    WHERE id = ANY (ARRAY(SELECT id FROM seen WHERE is_old))
      AND state = ANY (%(terminal_states)s) AND updated_at < now() - make_interval(secs => %(age_seconds)s) -- still so, under the lock
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM doomed)) RETURNING id, execution_number, lease_epoch, state
), attempt AS (
    DELETE FROM job_attempts WHERE job_id = ANY (ARRAY(SELECT id FROM deleted))
), firing AS (
    DELETE FROM job_firings WHERE job_id = ANY (ARRAY(SELECT id FROM deleted))
), event AS (
    INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch)
    SELECT id, %(actor)s, 'DELETED', state, execution_number, lease_epoch FROM deleted
)
SELECT (SELECT max(id) FROM seen) AS last_id, (SELECT count(*) FROM deleted) AS deleted
