-- The key of an endpoint that signs from now on.
INSERT INTO webhook_keys (webhook_id, key) VALUES (%(webhook_id)s, %(key)s)
