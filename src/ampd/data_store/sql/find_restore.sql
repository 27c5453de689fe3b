-- The last restore of a dataset. One that has said nothing for a minute has lost its controller.
SELECT CASE WHEN state = 'RUNNING' AND updated_at < now() - interval '1 minute' THEN 'INTERRUPTED' ELSE state END AS state,
       phase, files_found, files_read, files_registered, error, started_at, updated_at
FROM lake_restores
WHERE dataset_namespace = %(namespace)s AND dataset_name = %(name)s AND manifest_hash = %(manifest_hash)s
