DELETE FROM table_revisions WHERE id = %(id)s
