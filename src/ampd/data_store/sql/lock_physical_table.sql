SELECT id, active_revision_id FROM physical_tables
WHERE dataset_namespace = %(namespace)s AND dataset_name = %(name)s AND manifest_hash = %(manifest_hash)s
  AND table_name = %(table_name)s
FOR UPDATE
