-- The ranges of all files of some revisions.
SELECT revision_id, start_block, end_block FROM files WHERE revision_id = ANY (%(ids)s) ORDER BY revision_id, start_block
