-- What came to count in a minute.
INSERT INTO lake_minutes (at, namespace, blocks, row_count, bytes)
SELECT %(at)s, namespace, blocks, row_count, bytes
FROM unnest(%(namespaces)s::text[], %(blocks)s::bigint[], %(row_counts)s::bigint[], %(bytes)s::bigint[])
    AS counted (namespace, blocks, row_count, bytes)
