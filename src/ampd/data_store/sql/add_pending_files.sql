-- Files that a lease is about to write, known before they are there; and the only clock. No row: the lease is not the current one.
WITH lease AS (
    SELECT id, epoch FROM block_range_leases
    WHERE id = %(range_id)s AND epoch = %(epoch)s AND incarnation = %(incarnation)s
    FOR SHARE
), pending AS (
    INSERT INTO uncounted_files (path, revision_id, range_id, epoch, reason)
    SELECT f.path, f.revision_id, lease.id, lease.epoch, 'PENDING'
    FROM lease, unnest(%(paths)s::text[], %(revision_ids)s::bigint[]) AS f (path, revision_id)
)
SELECT clock_timestamp() AS now FROM lease
