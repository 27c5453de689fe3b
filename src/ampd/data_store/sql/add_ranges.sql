-- More ranges of a plan, free for everybody.
INSERT INTO block_range_leases (job_id, start_block, end_block, replaces)
SELECT %(job_id)s, start_block, end_block, replaces
FROM unnest(%(starts)s::bigint[], %(ends)s::bigint[], %(replaces)s::boolean[]) AS planned (start_block, end_block, replaces)
