UPDATE lake_restores
SET state = %(state)s, phase = %(phase)s, files_found = %(files_found)s, files_read = %(files_read)s,
    files_registered = %(files_registered)s, error = %(error)s, updated_at = now()
WHERE dataset_namespace = %(namespace)s AND dataset_name = %(name)s AND manifest_hash = %(manifest_hash)s
