-- The ranges of blocks that the process of a worker has in hand, by job and block.
SELECT l.job_id, l.start_block, l.end_block, l.state, l.leased_at,
       j.input ->> 'dataset_namespace' AS namespace, j.input ->> 'dataset_name' AS name
FROM workers w
JOIN block_range_leases l ON l.incarnation = w.incarnation
JOIN jobs j ON j.id = l.job_id
WHERE w.node_id = %(node_id)s
  AND (%(visible)s::text[] IS NULL OR j.input ->> 'dataset_namespace' = ANY (%(visible)s::text[]))
ORDER BY l.job_id, l.start_block
