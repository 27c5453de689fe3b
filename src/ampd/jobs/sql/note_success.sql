-- A job that gets on starts counting its failures and lost workers from nothing.
UPDATE jobs SET retry_count = 0, retries_before = 0, lost_worker_count = 0, last_error = NULL, updated_at = now()
WHERE id = %(job_id)s AND lease_epoch = %(lease_epoch)s AND worker_incarnation = %(incarnation)s
  AND (retry_count > 0 OR lost_worker_count > 0 OR last_error IS NOT NULL)
