-- An endpoint has failed once more. It is disabled when it is gone, or when there was nothing but failures for long; a pause longer than the
-- longest between two tries begins the count anew. The reason is told once.
WITH counted AS (
    SELECT id, enabled, CASE WHEN coalesce(last_failure_at > now() - make_interval(secs => %(streak_gap_seconds)s), false)
                    THEN coalesce(failing_since, now()) ELSE now() END AS since
    FROM webhooks WHERE id = %(webhook_id)s
    FOR NO KEY UPDATE
), judged AS (
    SELECT id, enabled AS was_enabled, since, CASE WHEN %(gone)s THEN 'GONE'
                           WHEN since <= now() - make_interval(secs => %(disable_after_seconds)s) THEN 'FAILING' END AS reason
    FROM counted
), changed AS (
    UPDATE webhooks w
    SET failing_since = j.since, last_failure_at = now(),
        resume_at = CASE WHEN %(hold_seconds)s::float8 IS NULL THEN w.resume_at
                         ELSE greatest(w.resume_at, now() + make_interval(secs => %(hold_seconds)s::float8)) END,
        enabled = w.enabled AND j.reason IS NULL,
        disabled_reason = CASE WHEN w.enabled THEN j.reason ELSE w.disabled_reason END,
        disabled_at = CASE WHEN NOT w.enabled THEN w.disabled_at WHEN j.reason IS NOT NULL THEN now() END,
        updated_at = CASE WHEN w.enabled AND j.reason IS NOT NULL THEN now() ELSE w.updated_at END
    FROM judged j
    WHERE w.id = j.id
    RETURNING w.id, CASE WHEN j.was_enabled THEN j.reason END AS reason
)
SELECT id AS webhook_id, reason FROM changed
