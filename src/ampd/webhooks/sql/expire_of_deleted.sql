-- A portion of what belongs to no endpoint any more, and keys that have expired. The ids of endpoints are found by steps through the index of
-- the log, not by reading it.
WITH RECURSIVE told AS (
    SELECT min(webhook_id) AS webhook_id FROM webhook_deliveries
    UNION ALL
    SELECT (SELECT min(d.webhook_id) FROM webhook_deliveries d WHERE d.webhook_id > told.webhook_id) FROM told WHERE webhook_id IS NOT NULL
), doomed AS (
    SELECT d.id
    FROM told
    CROSS JOIN LATERAL (SELECT id FROM webhook_deliveries WHERE webhook_id = told.webhook_id ORDER BY id LIMIT %(batch)s) d
    WHERE NOT EXISTS (SELECT FROM webhooks w WHERE w.id = told.webhook_id)
    LIMIT %(batch)s
), deleted AS (
    DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(SELECT id FROM doomed)) RETURNING id
), expired AS (
    DELETE FROM webhook_keys WHERE expires_at <= now()
)
SELECT count(*) AS deleted FROM deleted
