-- Files that were found in the store count again. One that counts already, or that will be deleted, is left as it is.
INSERT INTO files (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size,
                   object_e_tag, object_version, metadata, created_at)
SELECT %(revision_id)s, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size, object_e_tag,
       object_version, metadata, least(to_timestamp(created_at), now())
FROM unnest(%(file_names)s::text[], %(starts)s::bigint[], %(ends)s::bigint[], %(parent_hashes)s::bytea[], %(end_hashes)s::bytea[],
            %(row_counts)s::bigint[], %(sizes)s::bigint[], %(e_tags)s::text[], %(versions)s::text[], %(descriptions)s::jsonb[],
            %(created_ats)s::float8[])
    AS found (file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size, object_e_tag, object_version,
              metadata, created_at)
WHERE NOT EXISTS (SELECT FROM uncounted_files u WHERE u.path = %(path)s || '/' || found.file_name)
ORDER BY start_block
ON CONFLICT (revision_id, file_name) DO NOTHING
RETURNING id
