-- The active revision, with this job as its writer.
UPDATE table_revisions r SET writer_job_id = %(job_id)s, updated_at = now()
FROM physical_tables t
WHERE t.dataset_namespace = %(namespace)s AND t.dataset_name = %(name)s AND t.manifest_hash = %(manifest_hash)s
  AND t.table_name = %(table_name)s AND r.id = t.active_revision_id
RETURNING r.id, r.path, r.metadata
