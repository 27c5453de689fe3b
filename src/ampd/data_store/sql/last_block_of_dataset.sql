-- The highest block that any table of a dataset has; null when there is none.
SELECT max(newest.end_block) AS last_block
FROM physical_tables t
CROSS JOIN LATERAL (
    SELECT end_block FROM files WHERE revision_id = t.active_revision_id ORDER BY start_block DESC LIMIT 1
) newest
WHERE t.dataset_namespace = %(namespace)s AND t.dataset_name = %(name)s AND t.manifest_hash = %(manifest_hash)s
