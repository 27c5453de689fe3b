-- The segments of a revision before a block, the last ones first.
SELECT start_block, end_block, start_parent_hash FROM files
WHERE revision_id = %(revision_id)s AND start_block BETWEEN %(first_block)s AND %(before_block)s - 1
ORDER BY start_block DESC LIMIT %(limit)s
