-- A job that was assigned and not started goes back to those that wait; its attempt is lost.
WITH job AS (
    UPDATE jobs SET worker_id = NULL, worker_incarnation = NULL, updated_at = now()
    WHERE id = %(job_id)s AND state = 'SCHEDULED'
      AND (%(incarnation)s::uuid IS NULL OR (lease_epoch = %(lease_epoch)s AND worker_incarnation = %(incarnation)s))
    RETURNING id, lease_epoch
), attempt AS (
    UPDATE job_attempts a SET finished_at = now(), outcome = %(outcome)s
    FROM job WHERE a.job_id = job.id AND a.lease_epoch = job.lease_epoch AND a.finished_at IS NULL
)
SELECT id FROM job
