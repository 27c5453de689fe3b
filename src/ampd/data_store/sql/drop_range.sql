-- A range that has turned out to be the wrong one goes; what is missing is planned anew.
DELETE FROM block_range_leases WHERE id = %(id)s AND epoch = %(epoch)s AND incarnation = %(incarnation)s
