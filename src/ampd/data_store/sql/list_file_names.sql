-- The files of a revision that count.
SELECT file_name FROM files WHERE revision_id = %(revision_id)s
