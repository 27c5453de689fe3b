-- A row when the blocks of a revision that begin at a block do not hang on those that end before it.
SELECT b.end_block FROM block_runs b
JOIN block_runs a ON a.revision_id = b.revision_id AND a.start_block = %(start_block)s
WHERE b.revision_id = ANY (%(revision_ids)s) AND b.start_block = (
    SELECT max(start_block) FROM block_runs c WHERE c.revision_id = b.revision_id AND c.start_block < %(start_block)s)
  AND b.end_block = %(start_block)s - 1
LIMIT 1
