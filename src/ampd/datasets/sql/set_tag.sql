-- A tag that already points there keeps its times.
INSERT INTO tags (namespace, name, version, hash)
VALUES (%(namespace)s, %(name)s, %(version)s, %(hash)s)
ON CONFLICT (namespace, name, version) DO UPDATE
SET hash = EXCLUDED.hash, updated_at = now()
WHERE tags.hash <> EXCLUDED.hash
