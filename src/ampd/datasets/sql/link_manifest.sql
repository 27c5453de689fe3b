INSERT INTO dataset_manifests (namespace, name, hash)
VALUES (%(namespace)s, %(name)s, %(hash)s)
ON CONFLICT (namespace, name, hash) DO NOTHING
