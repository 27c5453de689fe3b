-- What came to count in some time, by namespace: of each dataset the blocks that all of the tables got that got any; rows and bytes of all tables.
-- The end does not belong to it.
SELECT namespace, sum(blocks)::bigint AS blocks, sum(row_count)::bigint AS row_count, sum(bytes)::bigint AS bytes
FROM (
    SELECT namespace, min(blocks) AS blocks, sum(row_count) AS row_count, sum(bytes) AS bytes
    FROM (
        SELECT r.metadata ->> 'dataset_namespace' AS namespace, r.metadata ->> 'dataset_name' AS name, r.metadata ->> 'manifest_hash' AS manifest_hash,
               f.blocks, f.row_count, f.bytes
        FROM (
            SELECT revision_id, sum(end_block - start_block + 1) AS blocks, sum(row_count) AS row_count, sum(object_size) AS bytes
            FROM files
            WHERE created_at >= %(since)s AND created_at < %(until)s
            GROUP BY revision_id
        ) f
        JOIN table_revisions r ON r.id = f.revision_id
    ) of_table
    GROUP BY namespace, name, manifest_hash
) of_dataset
WHERE %(visible)s::text[] IS NULL OR namespace = ANY (%(visible)s::text[])
GROUP BY namespace
