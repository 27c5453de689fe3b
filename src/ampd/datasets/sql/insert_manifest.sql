-- A row that is there already is held: nobody deletes it meanwhile.
INSERT INTO manifests (hash, kind, path)
VALUES (%(hash)s, %(kind)s, %(path)s)
ON CONFLICT (hash) DO UPDATE SET path = excluded.path
