-- The files of a dataset's tables that have blocks of a range, in the order of their blocks. Those of a table do not overlap, so that
-- the index is entered at the file that holds the range's first block. Gaps and breaks are wanted here: canonical_files ends at them.
SELECT t.table_name, r.path || '/' || f.file_name AS path, f.start_block, f.end_block, f.start_parent_hash, f.end_hash, f.row_count,
       f.object_size, f.metadata
FROM physical_tables t
JOIN table_revisions r ON r.id = t.active_revision_id
CROSS JOIN LATERAL (
    SELECT * FROM files
    WHERE revision_id = r.id AND end_block >= %(start_block)s AND start_block <= %(end_block)s
      AND start_block >= coalesce(
          (SELECT max(start_block) FROM files WHERE revision_id = r.id AND start_block <= %(start_block)s), 0
      )
) f
WHERE t.dataset_namespace = %(namespace)s AND t.dataset_name = %(name)s AND t.manifest_hash = %(manifest_hash)s
ORDER BY t.table_name, f.start_block, f.created_at DESC
