-- What the database knows of a revision's objects: those that count, and those that do not.
SELECT (SELECT count(*) FROM files WHERE revision_id = %(id)s) AS files,
       (SELECT count(*) FROM uncounted_files WHERE revision_id = %(id)s) AS uncounted
