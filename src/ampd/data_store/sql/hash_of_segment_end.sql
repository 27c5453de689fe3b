-- The hash of a block at which a segment ends; the newest copy wins.
SELECT end_hash FROM files
WHERE revision_id = %(revision_id)s AND end_block = %(end_block)s
ORDER BY created_at DESC, id DESC
LIMIT 1
