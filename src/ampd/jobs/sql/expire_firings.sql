-- The oldest rows of fire times, when they are older than they are kept; not those that still wait. By their places: a join may read the table.
WITH deleted AS (
    DELETE FROM job_firings
    WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM job_firings
            WHERE created_at < now() - make_interval(secs => %(age_seconds)s) AND outcome <> 'QUEUED'
            ORDER BY created_at
            LIMIT %(batch)s))
        AND created_at < now() - make_interval(secs => %(age_seconds)s) AND outcome <> 'QUEUED' -- still so
    RETURNING job_id
)
SELECT count(*) AS deleted FROM deleted
