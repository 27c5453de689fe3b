SELECT start_block, end_block FROM block_runs WHERE revision_id = %(id)s ORDER BY start_block LIMIT 1
