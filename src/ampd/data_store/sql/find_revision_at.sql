SELECT id, metadata FROM table_revisions WHERE path = %(path)s
