SELECT 1 AS linked
FROM dataset_manifests
WHERE namespace = %(namespace)s AND name = %(name)s AND hash = %(hash)s
