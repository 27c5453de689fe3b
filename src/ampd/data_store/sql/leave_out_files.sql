-- Objects that a restore has found and that do not count: they go after a while.
INSERT INTO uncounted_files (path, revision_id, reason, collect_at)
SELECT %(path)s || '/' || found.file_name, %(id)s, 'ORPHANED', now() + make_interval(secs => %(delay_seconds)s)
FROM unnest(%(file_names)s::text[]) AS found (file_name)
WHERE NOT EXISTS (SELECT FROM files f WHERE f.revision_id = %(id)s AND f.file_name = found.file_name)
ON CONFLICT (path) DO NOTHING
