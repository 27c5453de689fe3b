-- Events of a stretch of the log that somebody asks for and sees, in order.
SELECT id, event_id, event_type, created_at, worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name, start_block,
       current_block, end_block, files_count, total_size_bytes, duration_ms, error_message, error_type
FROM worker_events
WHERE id > %(after_id)s AND id <= %(last_id)s
  AND (%(visible)s::text[] IS NULL OR dataset_namespace = ANY (%(visible)s::text[]))
  AND (%(event_types)s::text[] IS NULL OR event_type = ANY (%(event_types)s::text[]))
  AND (%(namespace)s::text IS NULL OR dataset_namespace = %(namespace)s)
  AND (%(name)s::text IS NULL OR dataset_name = %(name)s)
  AND (%(table_name)s::text IS NULL OR table_name = %(table_name)s)
  AND (%(job_id)s::bigint IS NULL OR job_id = %(job_id)s)
ORDER BY id
LIMIT %(limit)s
