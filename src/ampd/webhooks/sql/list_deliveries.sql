-- A page of the log of an endpoint, the newest first; or one delivery.
SELECT id, webhook_id, message_id, job_id, event_id, sequence, event, occurred_at, job, status, attempts,
       CASE WHEN status = 'PENDING' THEN next_attempt_at END AS next_attempt_at, last_attempt_at, duration_ms, response_status, response_head,
       error, created_at, finished_at
FROM webhook_deliveries
WHERE webhook_id = %(webhook_id)s AND id < %(before_id)s
  AND (%(delivery_id)s::bigint IS NULL OR id = %(delivery_id)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
ORDER BY id DESC
LIMIT %(limit)s
