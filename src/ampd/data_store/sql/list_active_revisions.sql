-- The active revisions of a dataset.
SELECT r.id, t.table_name, r.path, r.metadata FROM physical_tables t
JOIN table_revisions r ON r.id = t.active_revision_id
WHERE t.dataset_namespace = %(namespace)s AND t.dataset_name = %(name)s AND t.manifest_hash = %(manifest_hash)s
ORDER BY t.table_name
