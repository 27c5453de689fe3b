-- What these ranges have cost is known by now.
DELETE FROM block_range_leases WHERE job_id = %(job_id)s AND state = 'DONE' AND id = ANY (%(ids)s)
