-- Files whose time has come, for one who deletes them; others leave these alone for a minute.
UPDATE uncounted_files SET collect_at = now() + interval '1 minute'
WHERE path IN (
    SELECT path FROM uncounted_files
    WHERE collect_at <= now() AND (%(revision_ids)s::bigint[] IS NULL OR revision_id = ANY (%(revision_ids)s::bigint[]))
    ORDER BY collect_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING path, reason
