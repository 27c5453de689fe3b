-- Files count no more, because one that has all their blocks takes their place; their objects stay for a while, for those who read them just now.
WITH gone AS (
    DELETE FROM files WHERE id = ANY (%(ids)s) RETURNING id, revision_id, file_name
), uncounted AS (
    INSERT INTO uncounted_files (path, revision_id, reason, collect_at)
    SELECT r.path || '/' || gone.file_name, r.id, 'COMPACTED', now() + make_interval(secs => %(delay_seconds)s)
    FROM gone
    JOIN table_revisions r ON r.id = gone.revision_id
)
SELECT id FROM gone
