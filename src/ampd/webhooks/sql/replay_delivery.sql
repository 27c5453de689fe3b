-- Send a message again, under its id, with all its tries; one that is being sent at the moment is left alone.
UPDATE webhook_deliveries
SET status = 'PENDING', attempts = 0, next_attempt_at = now(), finished_at = NULL, leased_until = NULL
WHERE id = %(delivery_id)s AND webhook_id = %(webhook_id)s AND coalesce(leased_until <= now(), true)
RETURNING id
