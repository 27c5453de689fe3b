-- The next portion of the log, in the order of ids: what ended longer ago than it is kept goes, and what an endpoint that is disabled did not
-- get in that time. Ids grow with time: behind a young one there is nothing more to look for.
WITH seen AS (
    SELECT d.id, d.created_at < now() - make_interval(secs => %(age_seconds)s) AS is_old,
           coalesce(d.finished_at, d.created_at) < now() - make_interval(secs => %(age_seconds)s)
               AND (d.status <> 'PENDING' OR NOT w.enabled) AS goes
    FROM webhook_deliveries d
    JOIN webhooks w ON w.id = d.webhook_id
    WHERE d.id > %(after_id)s
    ORDER BY d.id
    LIMIT %(batch)s
), doomed AS (
    SELECT id FROM webhook_deliveries WHERE id = ANY (ARRAY(SELECT id FROM seen WHERE goes)) ORDER BY id FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(SELECT id FROM doomed)) RETURNING id
)
SELECT (SELECT max(id) FROM seen) AS last_id, (SELECT count(*) FROM deleted) AS deleted, (SELECT bool_and(is_old) FROM seen) AS goes_on
