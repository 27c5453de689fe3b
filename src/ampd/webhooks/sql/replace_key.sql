-- A new key for an endpoint. The old one goes on signing for a while; one that was replaced before it ends now. The endpoint is locked.
WITH ended AS (
    DELETE FROM webhook_keys WHERE webhook_id = %(webhook_id)s AND expires_at IS NOT NULL
), replaced AS (
    UPDATE webhook_keys SET expires_at = now() + make_interval(secs => %(overlap_seconds)s)
    WHERE webhook_id = %(webhook_id)s AND expires_at IS NULL
), touched AS (
    UPDATE webhooks SET updated_at = now() WHERE id = %(webhook_id)s
)
SELECT 1
