-- Some ranges that are leased; those that somebody commits at this moment are left out.
SELECT id FROM block_range_leases WHERE id = ANY (%(ids)s) AND incarnation IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED
