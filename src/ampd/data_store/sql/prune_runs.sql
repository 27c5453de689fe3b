-- Runs that go as a whole: all but the first one; with a block, those that end before it.
DELETE FROM block_runs b
WHERE b.revision_id = %(id)s
  AND b.start_block > (SELECT min(start_block) FROM block_runs WHERE revision_id = %(id)s)
  AND (%(before_block)s::bigint IS NULL OR b.end_block < %(before_block)s::bigint)
