-- What a running job stumbles over at the moment, for people to see; the job goes on.
UPDATE jobs SET last_error = %(error)s, updated_at = now()
WHERE id = %(job_id)s AND lease_epoch = %(lease_epoch)s AND worker_incarnation = %(incarnation)s AND state = ANY (%(held_states)s)
RETURNING id
