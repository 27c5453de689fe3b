-- The next files of some revisions behind what needs no compaction any more.
SELECT f.id, f.revision_id, r.path || '/' || f.file_name AS path, f.start_block, f.end_block, f.start_parent_hash, f.end_hash,
       f.object_size, f.metadata, f.created_at, f.created_at <= now() - make_interval(secs => %(cooldown_seconds)s) AS is_cool
FROM table_revisions r
CROSS JOIN LATERAL (
    SELECT * FROM files
    WHERE revision_id = r.id
      AND start_block >= (SELECT max(compacted_to) FROM table_revisions WHERE id = ANY (%(revision_ids)s))
    ORDER BY start_block LIMIT %(limit)s
) f
WHERE r.id = ANY (%(revision_ids)s)
ORDER BY f.start_block, f.revision_id
