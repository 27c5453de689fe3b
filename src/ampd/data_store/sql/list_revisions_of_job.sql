-- The active revisions that a job writes.
SELECT r.id, t.table_name, r.path, r.metadata FROM table_revisions r
JOIN physical_tables t ON t.active_revision_id = r.id
WHERE r.writer_job_id = %(job_id)s
ORDER BY t.table_name
