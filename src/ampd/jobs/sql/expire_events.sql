-- The oldest events, when they are older than they are kept. Ids grow with time, so that only the head of the table is read.
WITH oldest AS (
    SELECT id, created_at FROM job_events ORDER BY id LIMIT %(batch)s
), deleted AS (
    DELETE FROM job_events
    WHERE id = ANY (ARRAY(SELECT id FROM oldest WHERE created_at < now() - make_interval(secs => %(age_seconds)s)))
    RETURNING id
)
SELECT count(*) AS deleted FROM deleted
