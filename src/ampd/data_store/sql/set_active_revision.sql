-- The active revision of a table (null: none). Its job finds it when it starts.
UPDATE physical_tables SET active_revision_id = %(revision_id)s, updated_at = now()
WHERE dataset_namespace = %(namespace)s AND dataset_name = %(name)s AND manifest_hash = %(manifest_hash)s
  AND table_name = %(table_name)s
