-- What the handler of a running job wants to find again. The job is locked meanwhile, as in report_progress.sql.
WITH job AS (
    SELECT id, execution_number FROM jobs
    WHERE id = %(job_id)s AND lease_epoch = %(lease_epoch)s AND worker_incarnation = %(incarnation)s
      AND state = ANY (%(held_states)s)
    FOR NO KEY UPDATE
)
INSERT INTO job_checkpoints (job_id, execution_number, data, updated_at) SELECT id, execution_number, %(data)s, now() FROM job
ON CONFLICT (job_id) DO UPDATE
SET execution_number = excluded.execution_number, data = excluded.data, updated_at = excluded.updated_at
RETURNING job_id
