-- Ranges that are done, and what they have cost is known; or that are free, and are planned anew.
DELETE FROM block_range_leases WHERE job_id = %(job_id)s AND state IN ('DONE', 'FREE') AND id = ANY (%(ids)s)
