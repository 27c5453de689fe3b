-- All endpoints, or one of them by its id or its URL; never their keys. What waits is counted as far as it says something.
SELECT w.id, w.url, w.description, w.events, w.kinds, w.products, w.envs, w.dataset_namespaces, w.enabled, w.disabled_reason, w.disabled_at,
       w.failing_since, w.created_at, w.updated_at,
       (SELECT count(*) FROM (SELECT FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.status = 'PENDING' LIMIT 10000) p) AS pending,
       (SELECT max(k.expires_at) FROM webhook_keys k WHERE k.webhook_id = w.id AND k.expires_at > now()) AS rotation_ends_at
FROM webhooks w
WHERE (%(webhook_id)s::bigint IS NULL OR w.id = %(webhook_id)s) AND (%(url)s::text IS NULL OR w.url = %(url)s)
ORDER BY w.id
