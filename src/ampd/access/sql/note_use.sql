-- A token was used: written at most once a minute, so that requests cost no writes. It may be lost with a server that falls: no request waits for the
-- disk, and none for another one that notes the same.
WITH soon AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
due AS MATERIALIZED (
    SELECT id FROM tokens, soon
    WHERE id = %(token_id)s AND coalesce(last_used_at < now() - interval '1 minute', true)
    FOR NO KEY UPDATE OF tokens SKIP LOCKED
)
UPDATE tokens SET last_used_at = now() FROM due WHERE tokens.id = due.id
