-- The oldest rows of fire times, when they are older than they are kept; not those that still wait.
WITH oldest AS (
    SELECT job_id, fire_time FROM job_firings
    WHERE created_at < now() - make_interval(secs => %(age_seconds)s) AND outcome <> 'QUEUED'
    ORDER BY created_at
    LIMIT %(batch)s
), deleted AS (
    DELETE FROM job_firings f USING oldest WHERE f.job_id = oldest.job_id AND f.fire_time = oldest.fire_time RETURNING f.job_id
)
SELECT count(*) AS deleted FROM deleted
