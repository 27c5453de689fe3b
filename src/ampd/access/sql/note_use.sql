-- A token was used: written at most once a minute, so that requests cost no writes.
UPDATE tokens SET last_used_at = now() WHERE id = %(token_id)s AND coalesce(last_used_at < now() - interval '1 minute', true)
