INSERT INTO lake_restores (dataset_namespace, dataset_name, manifest_hash, state, phase)
VALUES (%(namespace)s, %(name)s, %(manifest_hash)s, 'RUNNING', 'LISTING')
ON CONFLICT (dataset_namespace, dataset_name, manifest_hash) DO UPDATE
SET state = 'RUNNING', phase = 'LISTING', files_found = 0, files_read = 0, files_registered = 0, error = NULL,
    started_at = now(), updated_at = now()
