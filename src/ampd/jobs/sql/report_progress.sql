-- What the handler of a running job says of its progress, in a row of its own (design section 6). The job is locked meanwhile, so that
-- it is neither taken away nor deleted between the look at its lease and the write.
WITH job AS (
    SELECT id FROM jobs
    WHERE id = %(job_id)s AND lease_epoch = %(lease_epoch)s AND worker_incarnation = %(incarnation)s
      AND state = ANY (%(held_states)s)
    FOR NO KEY UPDATE
)
INSERT INTO job_progress (job_id, data, updated_at) SELECT id, %(data)s, now() FROM job
ON CONFLICT (job_id) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at
RETURNING job_id
