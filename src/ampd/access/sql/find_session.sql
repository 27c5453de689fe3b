-- The session of a cookie with its token, whatever has become of them; and when it ends if it is not used again.
SELECT t.id, t.name, t.role, t.namespaces, t.revoked_at IS NOT NULL AS revoked, coalesce(t.expires_at <= now(), false) AS expired,
       coalesce(t.last_used_at < now() - interval '1 minute', true) AS use_is_old,
       s.used_at <= now() - make_interval(secs => %(idle_seconds)s) AS is_over,
       s.used_at < now() - interval '1 minute' AS session_use_is_old,
       least(now() + make_interval(secs => %(idle_seconds)s), t.expires_at) AS expires_at
FROM sessions s
JOIN tokens t ON t.id = s.token_id
WHERE s.hash = %(hash)s
