-- Revisions as they are shown, the newest first.
SELECT r.id, r.path, r.writer_job_id, r.metadata, r.created_at, r.updated_at,
       active.is_active, coalesce(runs.files, 0)::bigint AS files_count, coalesce(runs.bytes, 0)::bigint AS total_size_bytes
FROM table_revisions r
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM physical_tables t WHERE t.active_revision_id = r.id) AS is_active) active
LEFT JOIN LATERAL (
    SELECT sum(files_count) AS files, sum(total_size_bytes) AS bytes FROM block_runs b WHERE b.revision_id = r.id
) runs ON true
WHERE (%(before_id)s::bigint IS NULL OR r.id < %(before_id)s::bigint)
  AND (%(active)s::boolean IS NULL OR active.is_active = %(active)s::boolean)
  AND (%(namespace)s::text IS NULL OR r.metadata ->> 'dataset_namespace' = %(namespace)s::text)
  AND (%(name)s::text IS NULL OR r.metadata ->> 'dataset_name' = %(name)s::text)
  AND (%(table_name)s::text IS NULL OR r.metadata ->> 'table_name' = %(table_name)s::text)
  AND (%(visible)s::text[] IS NULL OR r.metadata ->> 'dataset_namespace' = ANY (%(visible)s::text[]))
ORDER BY r.id DESC LIMIT %(limit)s
