-- The next portion of what an endpoint did not get since a time waits again.
WITH again AS (
    UPDATE webhook_deliveries SET status = 'PENDING', attempts = 0, next_attempt_at = now(), finished_at = NULL
    WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_deliveries
        WHERE webhook_id = %(webhook_id)s AND id > %(after_id)s AND id <= %(max_id)s AND status = 'FAILED' AND occurred_at >= %(since)s
        ORDER BY id
        LIMIT 1000
        FOR NO KEY UPDATE
    ))
    RETURNING id
)
SELECT count(*) AS replayed, max(id) AS last_id FROM again
