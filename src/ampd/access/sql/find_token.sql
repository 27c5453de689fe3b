-- The token that starts with a prefix, whatever has become of it.
SELECT id, name, role, namespaces, hash, revoked_at IS NOT NULL AS revoked, coalesce(expires_at <= now(), false) AS expired,
       coalesce(last_used_at < now() - interval '1 minute', true) AS use_is_old
FROM tokens
WHERE prefix = %(prefix)s
