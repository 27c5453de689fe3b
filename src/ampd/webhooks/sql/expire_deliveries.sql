-- The next portion of the log, in the order of ids: what ended longer ago than it is kept goes, what an endpoint that is disabled did not get in
-- that time, and all that belongs to no endpoint any more.
WITH seen AS (
    SELECT d.id, w.id IS NULL OR (
               %(age_seconds)s > 0 AND (d.status <> 'PENDING' OR NOT w.enabled)
               AND coalesce(d.finished_at, d.created_at) < now() - make_interval(secs => %(age_seconds)s)
           ) AS is_old
    FROM webhook_deliveries d
    LEFT JOIN webhooks w ON w.id = d.webhook_id
    WHERE d.id > %(after_id)s
    ORDER BY d.id
    LIMIT %(batch)s
), doomed AS (
    SELECT id FROM webhook_deliveries WHERE id = ANY (ARRAY(SELECT id FROM seen WHERE is_old)) ORDER BY id FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(SELECT id FROM doomed)) RETURNING id
), expired AS (
    DELETE FROM webhook_keys WHERE expires_at <= now()
)
SELECT (SELECT max(id) FROM seen) AS last_id, (SELECT count(*) FROM deleted) AS deleted
