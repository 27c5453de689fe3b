-- The oldest first: of versions with the same precedence the first one is `latest`.
SELECT version, hash, created_at, updated_at
FROM tags
WHERE namespace = %(namespace)s AND name = %(name)s
ORDER BY created_at, version
