-- What needs a manifest: a dataset, or files in the lake that were written by it.
SELECT dm.namespace || '/' || dm.name AS dataset, NULL::bigint AS revision_id FROM dataset_manifests dm WHERE dm.hash = %(hash)s
UNION ALL
SELECT NULL, r.id FROM table_revisions r WHERE r.metadata ->> 'manifest_hash' = %(hash)s
LIMIT 1
