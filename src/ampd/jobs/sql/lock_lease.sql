-- A row when the lease is the current one; held against every transition until the transaction ends.
SELECT id FROM jobs
WHERE id = %(job_id)s AND lease_epoch = %(lease_epoch)s AND worker_incarnation = %(incarnation)s AND state = ANY (%(held_states)s)
FOR NO KEY UPDATE
