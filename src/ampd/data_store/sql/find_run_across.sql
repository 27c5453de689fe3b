-- A row when blocks behind a block of some revisions hang on it.
SELECT end_block FROM block_runs b
WHERE b.revision_id = ANY (%(revision_ids)s)
  AND b.start_block = (SELECT max(start_block) FROM block_runs c WHERE c.revision_id = b.revision_id AND c.start_block <= %(block)s)
  AND b.end_block > %(block)s
LIMIT 1
