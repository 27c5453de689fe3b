-- The outcome of one try, under its lease and with the endpoint locked; no row when another has taken the delivery over. No delay: the delivery has ended.
WITH tried AS (
    UPDATE webhook_deliveries
    SET status = %(status)s, attempts = attempts + 1, leased_until = NULL,
        next_attempt_at = now() + make_interval(secs => coalesce(%(delay_seconds)s::float8, 0)),
        finished_at = CASE WHEN %(status)s <> 'PENDING' THEN now() END,
        last_attempt_at = now() - make_interval(secs => %(duration_ms)s / 1000.0), duration_ms = %(duration_ms)s,
        response_status = %(response_status)s, response_head = %(response_head)s, error = %(error)s
    WHERE id = %(id)s AND lease_epoch = %(lease_epoch)s AND leased_until IS NOT NULL AND status = 'PENDING'
    RETURNING id, webhook_id, job_id, status
), follower AS ( -- the next one of the job need not wait for the time that it was put off to
    UPDATE webhook_deliveries SET next_attempt_at = now()
    WHERE leased_until IS NULL AND next_attempt_at > now() AND attempts = 0 AND status = 'PENDING' AND id = (
        SELECT d.id FROM tried t
        JOIN webhook_deliveries d ON d.webhook_id = t.webhook_id AND d.job_id = t.job_id AND d.status = 'PENDING' AND d.id > t.id
        WHERE t.status <> 'PENDING'
        ORDER BY d.id
        LIMIT 1
    )
), answering AS (
    UPDATE webhooks w SET failing_since = NULL, last_failure_at = NULL
    FROM tried t
    WHERE w.id = t.webhook_id AND t.status = 'DELIVERED' AND w.failing_since IS NOT NULL
)
SELECT id, webhook_id FROM tried
