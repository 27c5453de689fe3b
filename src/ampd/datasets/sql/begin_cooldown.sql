-- Let an endpoint rest for some seconds from now; a rest that ends later stays. Rests that ended long ago go.
WITH swept AS (
    DELETE FROM endpoint_cooldowns WHERE ends_at < now() - interval '1 day' AND endpoint_key <> %(key)s
)
INSERT INTO endpoint_cooldowns AS known (endpoint_key, ends_at, reason)
VALUES (%(key)s, now() + make_interval(secs => %(seconds)s), %(reason)s)
ON CONFLICT (endpoint_key) DO UPDATE SET ends_at = excluded.ends_at, reason = excluded.reason, began_at = now()
WHERE known.ends_at < excluded.ends_at
