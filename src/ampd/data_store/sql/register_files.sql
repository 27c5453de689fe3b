-- Files count from here on. A trigger brings them into the runs of their revisions, and refuses blocks that are there already.
INSERT INTO files (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size,
                   object_e_tag, object_version, metadata, created_at)
SELECT revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size, object_e_tag,
       object_version, metadata, coalesce(%(created_at)s::timestamptz, now())
FROM unnest(%(revision_ids)s::bigint[], %(file_names)s::text[], %(starts)s::bigint[], %(ends)s::bigint[], %(parent_hashes)s::bytea[],
            %(end_hashes)s::bytea[], %(row_counts)s::bigint[], %(sizes)s::bigint[], %(e_tags)s::text[], %(versions)s::text[],
            %(descriptions)s::jsonb[])
    AS written (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size, object_e_tag,
                object_version, metadata)
ORDER BY revision_id, start_block -- always in this order: two commits never wait for each other
