-- A session was used: written at most once a minute, as the use of a token is (note_use.sql).
WITH soon AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
due AS MATERIALIZED (
    SELECT hash FROM sessions, soon
    WHERE hash = %(hash)s AND used_at < now() - interval '1 minute'
    FOR NO KEY UPDATE OF sessions SKIP LOCKED
)
UPDATE sessions SET used_at = now() FROM due WHERE sessions.hash = due.hash
