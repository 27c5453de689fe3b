-- What is committed has gone from the range; the last block of it ends the lease.
UPDATE block_range_leases
SET start_block = least(%(end_block)s + 1, end_block), blocks = blocks + %(blocks)s, bytes = bytes + %(bytes)s, seconds = %(seconds)s,
    state = CASE WHEN %(end_block)s >= end_block THEN 'DONE' ELSE state END,
    worker_id = CASE WHEN %(end_block)s >= end_block THEN NULL ELSE worker_id END,
    incarnation = CASE WHEN %(end_block)s >= end_block THEN NULL ELSE incarnation END
WHERE id = %(id)s
