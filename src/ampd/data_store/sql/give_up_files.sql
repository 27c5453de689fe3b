-- All files of a revision count no more, and their objects may go at once.
WITH gone AS (
    DELETE FROM files WHERE revision_id = %(id)s RETURNING file_name
)
INSERT INTO uncounted_files (path, revision_id, reason, collect_at)
SELECT %(path)s || '/' || gone.file_name, %(id)s, 'ORPHANED', now() FROM gone
ON CONFLICT (path) DO NOTHING
