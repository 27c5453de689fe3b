-- A row when the blocks behind a block of some revisions do not hang on it.
SELECT revision_id FROM block_runs WHERE revision_id = ANY (%(revision_ids)s) AND start_block = %(end_block)s + 1 LIMIT 1
