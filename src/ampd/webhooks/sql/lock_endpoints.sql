-- The endpoints that have something due, for this transaction alone: whoever chooses deliveries for an endpoint does so by itself.
SELECT w.id
FROM webhooks w
WHERE w.enabled AND coalesce(w.resume_at <= now(), true)
  AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.status = 'PENDING' AND d.next_attempt_at <= now())
ORDER BY w.id
FOR NO KEY UPDATE SKIP LOCKED
