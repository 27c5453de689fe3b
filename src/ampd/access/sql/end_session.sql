-- End a session; no row when there is none.
DELETE FROM sessions WHERE hash = %(hash)s RETURNING token_id
