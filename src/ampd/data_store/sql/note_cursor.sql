-- The cursor behind the last block of what has just been committed, when somebody will go on there: not when the next block is there already.
-- Those within it, and the one that it began at, have had their time.
WITH passed AS (
    DELETE FROM source_cursors
    WHERE job_id = %(job_id)s AND end_block BETWEEN %(start_block)s::bigint - 1 AND %(end_block)s::bigint - 1
)
INSERT INTO source_cursors (job_id, end_block, end_hash, cursor)
SELECT %(job_id)s, %(end_block)s, %(end_hash)s, %(cursor)s
WHERE NOT EXISTS (
    SELECT FROM block_runs
    WHERE revision_id = %(revision_id)s AND start_block <= %(end_block)s::bigint + 1 AND end_block > %(end_block)s::bigint
)
ON CONFLICT (job_id, end_block) DO UPDATE SET end_hash = excluded.end_hash, cursor = excluded.cursor
