-- The revisions, of some, whose line of blocks goes on behind a block.
SELECT revision_id FROM block_runs
WHERE revision_id = ANY (%(revision_ids)s) AND start_block <= %(end_block)s AND end_block > %(end_block)s
