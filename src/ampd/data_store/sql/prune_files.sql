-- Files behind the first run of a revision count no more; their objects go after a while.
WITH gone AS (
    DELETE FROM files
    WHERE revision_id = %(id)s AND start_block > %(first_end)s
      AND (%(before_block)s::bigint IS NULL OR end_block < %(before_block)s::bigint)
    RETURNING file_name
), uncounted AS (
    INSERT INTO uncounted_files (path, revision_id, reason, collect_at)
    SELECT %(path)s || '/' || gone.file_name, %(id)s, 'ORPHANED', now() + make_interval(secs => %(delay_seconds)s) FROM gone
)
SELECT count(*) AS files FROM gone
