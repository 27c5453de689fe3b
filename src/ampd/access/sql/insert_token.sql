-- A new token; no row when another one that is not revoked has the name.
INSERT INTO tokens (name, role, namespaces, prefix, hash, created_by, expires_at)
VALUES (%(name)s, %(role)s, %(namespaces)s::text[], %(prefix)s, %(hash)s, %(created_by)s, now() + make_interval(secs => %(expires_in_seconds)s))
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING id
