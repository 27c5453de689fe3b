-- The registered revisions of a directory of revisions.
SELECT id, path, metadata FROM table_revisions WHERE starts_with(path, %(directory)s || '/')
