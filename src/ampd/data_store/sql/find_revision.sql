-- One revision as it is shown.
SELECT r.id, r.path, r.writer_job_id, r.metadata, r.created_at, r.updated_at,
       EXISTS (SELECT FROM physical_tables t WHERE t.active_revision_id = r.id) AS is_active,
       coalesce(runs.files, 0)::bigint AS files_count, coalesce(runs.bytes, 0)::bigint AS total_size_bytes
FROM table_revisions r
LEFT JOIN LATERAL (
    SELECT sum(files_count) AS files, sum(total_size_bytes) AS bytes FROM block_runs b WHERE b.revision_id = r.id
) runs ON true
WHERE r.id = %(id)s
  AND (%(visible)s::text[] IS NULL OR r.metadata ->> 'dataset_namespace' = ANY (%(visible)s::text[]))
