-- All tokens, the oldest first, or one of them; never what they are compared with.
SELECT id, name, role, namespaces, prefix, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by,
       CASE WHEN revoked_at IS NOT NULL THEN 'REVOKED' WHEN expires_at <= now() THEN 'EXPIRED' ELSE 'ACTIVE' END AS status
FROM tokens
WHERE %(token_id)s::bigint IS NULL OR id = %(token_id)s
ORDER BY id
