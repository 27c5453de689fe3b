-- What the database knows of a revision's objects already: those that count, and those that will go.
SELECT f.file_name, f.start_block, f.end_block, f.start_parent_hash, f.end_hash, true AS counts FROM files f WHERE f.revision_id = %(id)s
UNION ALL
SELECT substr(u.path, length(%(path)s) + 2), NULL, NULL, NULL, NULL, false FROM uncounted_files u WHERE u.revision_id = %(id)s
