-- Files that the holder of a job is about to write, known before they are there; and the only clock. No row: the lease is not the current one.
WITH lease AS (
    SELECT id, lease_epoch FROM jobs
    WHERE id = %(job_id)s AND lease_epoch = %(lease_epoch)s AND worker_incarnation = %(incarnation)s AND state = ANY (%(held_states)s)
    FOR SHARE
), pending AS (
    INSERT INTO uncounted_files (path, revision_id, job_id, epoch, reason)
    SELECT f.path, f.revision_id, lease.id, lease.lease_epoch, 'PENDING'
    FROM lease, unnest(%(paths)s::text[], %(revision_ids)s::bigint[]) AS f (path, revision_id)
)
SELECT clock_timestamp() AS now FROM lease
