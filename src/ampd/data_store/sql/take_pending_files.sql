-- Files of a lease that are about to count.
DELETE FROM uncounted_files
WHERE path = ANY (%(paths)s) AND reason = 'PENDING' AND epoch = %(epoch)s
  AND range_id IS NOT DISTINCT FROM %(range_id)s::bigint AND job_id IS NOT DISTINCT FROM %(job_id)s::bigint
RETURNING path
