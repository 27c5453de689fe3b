-- A file counts from here on; no row when some of its blocks are there already. The caller holds the job's lease, so commits take turns.
INSERT INTO files (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size,
                   object_e_tag, object_version, metadata)
SELECT %(revision_id)s, %(file_name)s, %(start_block)s, %(end_block)s, %(start_parent_hash)s, %(end_hash)s, %(row_count)s,
       %(object_size)s, %(object_e_tag)s, %(object_version)s, %(metadata)s
WHERE NOT EXISTS (
    SELECT FROM files
    WHERE revision_id = %(revision_id)s AND start_block <= %(end_block)s AND end_block >= %(start_block)s
)
RETURNING id
