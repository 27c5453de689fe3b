-- A new revision, made the active one of its table.
WITH revision AS (
    INSERT INTO table_revisions (path, writer_job_id, metadata) VALUES (%(path)s, %(job_id)s, %(metadata)s)
    RETURNING id, path, metadata
), activated AS (
    UPDATE physical_tables t SET active_revision_id = revision.id, updated_at = now()
    FROM revision
    WHERE t.dataset_namespace = %(namespace)s AND t.dataset_name = %(name)s AND t.manifest_hash = %(manifest_hash)s
      AND t.table_name = %(table_name)s
)
SELECT id, path, metadata FROM revision
