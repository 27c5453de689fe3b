-- What is there of each table that a job writes in a part of its chain, as runs, and who reads what: in one statement, so that a range which is
-- committed meanwhile is in one of both. Of each table a few runs more than are asked for: whoever gets more looks at them coarsely.
WITH said AS (
    SELECT (data ->> 'end_block')::bigint AS end_block, (data ->> 'latest_block')::bigint AS latest_block FROM job_progress WHERE job_id = %(job_id)s
), tables AS MATERIALIZED (
    SELECT r.id, t.table_name, (r.metadata ->> 'start_block')::bigint AS start_block,
           (SELECT b.end_block FROM block_runs b WHERE b.revision_id = r.id ORDER BY b.start_block DESC LIMIT 1) AS last_block
    FROM table_revisions r
    JOIN physical_tables t ON t.active_revision_id = r.id
    WHERE r.writer_job_id = %(job_id)s
), leases AS MATERIALIZED (
    SELECT start_block, end_block, state <> 'FREE' AS held, replaces, worker_id
    FROM block_range_leases WHERE job_id = %(job_id)s AND state <> 'DONE'
), bounds AS MATERIALIZED (
    SELECT coalesce(%(start_block)s::bigint, (SELECT min(start_block) FROM tables)) AS start_block,
           coalesce(%(end_block)s::bigint, greatest((SELECT coalesce(end_block, latest_block) FROM said), (SELECT max(last_block) FROM tables),
                                                    (SELECT max(end_block) FROM leases))) AS end_block
)
SELECT bounds.start_block, bounds.end_block, (SELECT latest_block FROM said) AS head_block,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(l.start_block, l.end_block, l.held, l.replaces, l.worker_id) ORDER BY l.start_block), '[]')
        FROM leases l WHERE l.start_block <= bounds.end_block AND l.end_block >= bounds.start_block) AS leases,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(t.table_name, of_table.runs) ORDER BY t.table_name), '[]')
        FROM tables t
        CROSS JOIN LATERAL (
            SELECT coalesce(jsonb_agg(jsonb_build_array(run.start_block, run.end_block, run.hangs) ORDER BY run.start_block), '[]') AS runs
            FROM (
                -- Runs that touch and do not hang on each other: the chain has reorganised, and is repaired soon.
                SELECT b.start_block, b.end_block,
                       NOT coalesce(lag(b.end_block) OVER w = b.start_block - 1 AND lag(b.end_hash) OVER w <> b.start_parent_hash, false) AS hangs
                FROM block_runs b
                -- From the run before the first one on: that may hang on it.
                WHERE b.revision_id = t.id AND b.start_block <= bounds.end_block AND b.start_block >= coalesce(
                    (SELECT c.start_block FROM block_runs c WHERE c.revision_id = t.id AND c.start_block <= bounds.start_block
                     ORDER BY c.start_block DESC OFFSET 1 LIMIT 1), 0)
                WINDOW w AS (ORDER BY b.start_block)
                ORDER BY b.start_block LIMIT %(most)s + 3
            ) run
            WHERE run.end_block >= bounds.start_block
        ) of_table) AS tables
FROM bounds
