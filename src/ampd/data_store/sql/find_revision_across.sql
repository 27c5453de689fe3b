-- A revision whose directory holds another one, or lies in it.
SELECT id, path FROM table_revisions
WHERE path <> %(path)s AND (starts_with(path, %(path)s || '/') OR starts_with(%(path)s, path || '/'))
LIMIT 1
