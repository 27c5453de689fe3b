-- What is there of some revisions, and what is planned of their job: in one statement, so that a range which is committed meanwhile is in
-- one of both.
SELECT
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
         'revision_id', revision_id, 'start_block', start_block, 'end_block', end_block, 'end_hash', encode(end_hash, 'hex'))
         ORDER BY start_block), '[]')
     FROM block_runs WHERE revision_id = ANY (%(revision_ids)s)) AS runs,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
         'id', id, 'start_block', start_block, 'end_block', end_block, 'state', state, 'replaces', replaces,
         'blocks', blocks, 'bytes', bytes, 'seconds', seconds) ORDER BY start_block), '[]')
     FROM block_range_leases WHERE job_id = %(job_id)s) AS ranges
