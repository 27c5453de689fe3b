-- A new session; those that are over go. Two sign-ins at once do not wait for each other.
WITH old AS MATERIALIZED (
    SELECT hash FROM sessions WHERE used_at <= now() - make_interval(secs => %(idle_seconds)s) FOR UPDATE SKIP LOCKED
),
gone AS (DELETE FROM sessions USING old WHERE sessions.hash = old.hash)
INSERT INTO sessions (hash, token_id) VALUES (%(hash)s, %(token_id)s)
