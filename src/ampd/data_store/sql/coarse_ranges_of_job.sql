-- The same, in so many parts of the same width: how many blocks of each part count, and how many of them are not of the chain any more. Blocks that
-- somebody reads anew count as neither.
WITH leases AS MATERIALIZED (
    SELECT start_block, end_block, state <> 'FREE' AS held, replaces, worker_id
    FROM block_range_leases WHERE job_id = %(job_id)s AND state <> 'DONE' AND start_block <= %(end_block)s AND end_block >= %(start_block)s
), replaced AS MATERIALIZED (
    SELECT start_block, end_block, held FROM leases WHERE replaces
)
SELECT (SELECT coalesce(jsonb_agg(jsonb_build_array(start_block, end_block, held, replaces, worker_id) ORDER BY start_block), '[]') FROM leases) AS leases,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(t.table_name, of_table.parts) ORDER BY t.table_name), '[]')
        FROM table_revisions r
        JOIN physical_tables t ON t.active_revision_id = r.id
        CROSS JOIN LATERAL (
            SELECT coalesce(jsonb_agg(jsonb_build_array(part, done, orphaned)), '[]') AS parts
            FROM (
                SELECT cut.part, sum(CASE WHEN run.hangs THEN cut.blocks - anew.held - anew.free ELSE 0 END)::bigint AS done,
                       sum(CASE WHEN run.hangs THEN anew.free ELSE cut.blocks - anew.held END)::bigint AS orphaned
                FROM (
                    SELECT b.start_block, b.end_block,
                           NOT coalesce(lag(b.end_block) OVER w = b.start_block - 1 AND lag(b.end_hash) OVER w <> b.start_parent_hash, false) AS hangs
                    FROM block_runs b
                    WHERE b.revision_id = r.id AND b.start_block <= %(end_block)s AND b.start_block >= coalesce(
                        (SELECT c.start_block FROM block_runs c WHERE c.revision_id = r.id AND c.start_block <= %(start_block)s
                         ORDER BY c.start_block DESC OFFSET 1 LIMIT 1), 0)
                    WINDOW w AS (ORDER BY b.start_block)
                ) run
                CROSS JOIN LATERAL (
                    SELECT part, greatest(run.start_block, %(start_block)s + part * %(width)s) AS start_block,
                           least(run.end_block, %(end_block)s, %(start_block)s + (part + 1) * %(width)s - 1) AS end_block,
                           least(run.end_block, %(end_block)s, %(start_block)s + (part + 1) * %(width)s - 1)
                               - greatest(run.start_block, %(start_block)s + part * %(width)s) + 1 AS blocks
                    FROM generate_series((greatest(run.start_block, %(start_block)s) - %(start_block)s) / %(width)s,
                                         (least(run.end_block, %(end_block)s) - %(start_block)s) / %(width)s) AS part
                ) cut
                CROSS JOIN LATERAL (
                    SELECT coalesce(sum(least(a.end_block, cut.end_block) - greatest(a.start_block, cut.start_block) + 1) FILTER (WHERE a.held), 0) AS held,
                           coalesce(sum(least(a.end_block, cut.end_block) - greatest(a.start_block, cut.start_block) + 1) FILTER (WHERE NOT a.held), 0) AS free
                    FROM replaced a WHERE a.start_block <= cut.end_block AND a.end_block >= cut.start_block
                ) anew
                WHERE run.end_block >= %(start_block)s
                GROUP BY cut.part
            ) each
        ) of_table
        WHERE r.writer_job_id = %(job_id)s) AS tables
