-- The oldest events, when they are older than they are kept. Ids grow with time, so that only the head of the table is read.
WITH oldest AS (
    SELECT id, created_at FROM job_events ORDER BY id LIMIT %(batch)s
), deleted AS (
    DELETE FROM job_events USING oldest
    WHERE job_events.id = oldest.id AND oldest.created_at < now() - make_interval(secs => %(age_seconds)s)
    RETURNING job_events.id
)
SELECT count(*) AS deleted FROM deleted
