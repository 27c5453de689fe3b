INSERT INTO manifests (hash, kind, path)
VALUES (%(hash)s, %(kind)s, %(path)s)
ON CONFLICT (hash) DO NOTHING
