-- A worker process gives a range back; others go on with what is left of it.
UPDATE block_range_leases SET state = 'FREE', worker_id = NULL, incarnation = NULL
WHERE id = %(id)s AND epoch = %(epoch)s AND incarnation = %(incarnation)s
