-- The files of some revisions that have a block of a range count no more; their objects stay for a while, for those who read them just now.
-- Files do not overlap: beside those that begin in the range only the one before it can reach into it.
WITH gone AS (
    DELETE FROM files WHERE id = ANY (ARRAY(
        SELECT id FROM files
        WHERE revision_id = ANY (%(revision_ids)s) AND start_block BETWEEN %(start_block)s AND %(end_block)s
        UNION ALL
        SELECT before.id FROM unnest(%(revision_ids)s) AS revision (id)
        CROSS JOIN LATERAL (
            SELECT f.id, f.end_block FROM files f
            WHERE f.revision_id = revision.id AND f.start_block < %(start_block)s ORDER BY f.start_block DESC LIMIT 1
        ) before
        WHERE before.end_block >= %(start_block)s
    ))
    RETURNING revision_id, file_name
)
INSERT INTO uncounted_files (path, revision_id, reason, collect_at)
SELECT r.path || '/' || gone.file_name, r.id, 'ORPHANED', now() + make_interval(secs => %(delay_seconds)s)
FROM gone
JOIN table_revisions r ON r.id = gone.revision_id
RETURNING path
