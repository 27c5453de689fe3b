-- A message that says nothing but that it came. It waits for no other.
INSERT INTO webhook_deliveries (webhook_id, sequence, event, occurred_at, job)
SELECT id, 0, 'webhook.test', now(), %(job)s FROM webhooks WHERE id = %(webhook_id)s AND enabled
RETURNING id
