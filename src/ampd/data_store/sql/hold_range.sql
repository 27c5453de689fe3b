-- A row when the lease of a range is the current one; held until the transaction ends.
SELECT start_block, end_block, replaces FROM block_range_leases
WHERE id = %(id)s AND epoch = %(epoch)s AND incarnation = %(incarnation)s
FOR UPDATE
