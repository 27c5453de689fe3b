-- Revisions whose files change: always in this order, so that two commits never wait for each other.
SELECT id FROM table_revisions WHERE id = ANY (%(ids)s) ORDER BY id FOR NO KEY UPDATE
