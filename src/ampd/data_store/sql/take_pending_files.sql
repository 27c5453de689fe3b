-- Files of a lease that are about to count.
DELETE FROM uncounted_files
WHERE path = ANY (%(paths)s) AND reason = 'PENDING' AND range_id = %(range_id)s AND epoch = %(epoch)s
RETURNING path
