-- Lease what is due at the locked endpoints: for each as many as it has room for, of each job the earliest that is not finished. What stands
-- behind another of its job is put off until that one's time, so that the next look does not meet it again.
WITH endpoint AS (
    SELECT w.id, w.url, %(per_endpoint)s - (
               SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.leased_until > now()
           ) AS room
    FROM webhooks w
    WHERE w.id = ANY (%(webhook_ids)s::bigint[])
), due AS (
    SELECT d.id, d.webhook_id, d.next_attempt_at, head.id AS head_id, head.next_attempt_at AS head_at
    FROM endpoint e
    CROSS JOIN LATERAL (
        SELECT id, webhook_id, job_id, next_attempt_at FROM webhook_deliveries
        WHERE webhook_id = e.id AND status = 'PENDING' AND next_attempt_at <= now() AND e.room > 0
        ORDER BY next_attempt_at, id
        LIMIT %(looked_at)s
        FOR NO KEY UPDATE SKIP LOCKED
    ) d
    LEFT JOIN LATERAL (
        SELECT id, next_attempt_at FROM webhook_deliveries
        WHERE webhook_id = d.webhook_id AND job_id = d.job_id AND status = 'PENDING' AND id < d.id
        ORDER BY id
        LIMIT 1
    ) head ON true
), ready AS (
    SELECT id FROM (
        SELECT id, webhook_id, row_number() OVER (PARTITION BY webhook_id ORDER BY next_attempt_at, id) AS place
        FROM due WHERE head_id IS NULL
    ) placed
    JOIN (SELECT id AS endpoint_id, room FROM endpoint) e ON e.endpoint_id = placed.webhook_id
    WHERE place <= room
    ORDER BY place, random() -- where there is not room for all, no endpoint comes first every time
    LIMIT %(limit)s
), claimed AS (
    UPDATE webhook_deliveries
    SET lease_epoch = lease_epoch + 1, leased_until = now() + make_interval(secs => %(lease_seconds)s),
        next_attempt_at = now() + make_interval(secs => %(lease_seconds)s)
    WHERE id = ANY (ARRAY(SELECT id FROM ready))
    RETURNING *
), put_off AS (
    UPDATE webhook_deliveries d SET next_attempt_at = greatest(due.head_at, now() + interval '1 second')
    FROM due
    WHERE d.id = ANY (ARRAY(SELECT id FROM due WHERE head_id IS NOT NULL)) AND d.id = due.id
    RETURNING d.id
)
SELECT counted.put_off, extract(epoch FROM now())::float8 AS now, c.id, c.webhook_id, c.message_id, c.job_id, c.event_id, c.sequence, c.event,
       c.occurred_at, c.job, c.attempts, c.lease_epoch, e.url,
       ARRAY(SELECT key FROM webhook_keys k
             WHERE k.webhook_id = c.webhook_id AND coalesce(k.expires_at > now(), true) ORDER BY k.expires_at DESC NULLS FIRST) AS keys
FROM (SELECT count(*) AS put_off FROM put_off) counted
LEFT JOIN (claimed c JOIN endpoint e ON e.id = c.webhook_id) ON true
ORDER BY c.id
