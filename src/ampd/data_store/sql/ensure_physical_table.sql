-- The table's row, locked: two jobs cannot make two revisions active.
INSERT INTO physical_tables (dataset_namespace, dataset_name, manifest_hash, table_name)
VALUES (%(namespace)s, %(name)s, %(manifest_hash)s, %(table_name)s)
ON CONFLICT (dataset_namespace, dataset_name, manifest_hash, table_name) DO UPDATE SET updated_at = now()
