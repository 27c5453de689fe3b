-- Jobs that were assigned and not started go back to those that wait; the attempt is over.
WITH given AS (
    SELECT * FROM unnest(%(job_ids)s::bigint[], %(lease_epochs)s::bigint[], %(incarnations)s::uuid[]) AS given (job_id, lease_epoch, incarnation)
), locked AS (
    SELECT j.id
    FROM given
    JOIN jobs j ON j.id = given.job_id
    WHERE j.id = ANY (%(job_ids)s::bigint[]) AND coalesce(j.state = 'SCHEDULED' AND j.worker_id IS NOT NULL, false) -- see assign_jobs.sql
      AND (given.incarnation IS NULL OR (j.lease_epoch = given.lease_epoch AND j.worker_incarnation = given.incarnation))
    ORDER BY j.id
    FOR NO KEY UPDATE OF j
), job AS (
    UPDATE jobs SET worker_id = NULL, worker_incarnation = NULL, updated_at = now()
    FROM locked
    WHERE jobs.id = locked.id
    RETURNING jobs.id, jobs.lease_epoch
), attempt AS (
    UPDATE job_attempts a SET finished_at = now(), outcome = %(outcome)s
    FROM job WHERE a.job_id = job.id AND a.lease_epoch = job.lease_epoch AND a.finished_at IS NULL
)
SELECT id, lease_epoch FROM job
