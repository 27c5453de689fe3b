-- The files of a revision that count, in the order of their blocks, from behind a block.
SELECT f.id, f.revision_id, r.path, f.file_name, f.start_block, f.end_block, f.row_count, f.object_size, f.object_e_tag, f.object_version,
       f.metadata, f.created_at
FROM files f JOIN table_revisions r ON r.id = f.revision_id
WHERE f.revision_id = %(id)s AND f.start_block > %(after_block)s
  AND (%(visible)s::text[] IS NULL OR r.metadata ->> 'dataset_namespace' = ANY (%(visible)s::text[]))
ORDER BY f.start_block LIMIT %(limit)s
