-- Take an endpoint, and tell its current key.
SELECT w.id, k.key FROM webhooks w JOIN webhook_keys k ON k.webhook_id = w.id AND k.expires_at IS NULL
WHERE w.id = %(webhook_id)s
FOR NO KEY UPDATE OF w
