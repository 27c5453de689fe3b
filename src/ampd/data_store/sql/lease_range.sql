-- The lowest free range of a job goes to a worker process, when fewer are read than may be; a range of which that process has nearly read the
-- last block counts as read then.
WITH next AS (
    SELECT id FROM block_range_leases
    WHERE job_id = %(job_id)s AND state = 'FREE'
      AND (SELECT count(*) FROM block_range_leases
           WHERE job_id = %(job_id)s AND state = 'READING' AND id IS DISTINCT FROM %(closing_id)s::bigint) < %(parallelism)s
    ORDER BY start_block
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), closing AS (
    UPDATE block_range_leases SET state = 'WRITING'
    WHERE id = %(closing_id)s::bigint AND epoch = %(closing_epoch)s::bigint AND state = 'READING' AND incarnation = %(incarnation)s
      AND EXISTS (SELECT FROM next)
)
UPDATE block_range_leases l
SET state = 'READING', epoch = l.epoch + 1, worker_id = %(worker_id)s, incarnation = %(incarnation)s, leased_at = now()
FROM next
WHERE l.id = next.id
RETURNING l.id, l.epoch, l.start_block, l.end_block, l.replaces,
          CASE WHEN l.replaces THEN NULL
               ELSE (SELECT c.cursor FROM source_cursors c WHERE c.job_id = l.job_id AND c.end_block = l.start_block - 1) END AS cursor
