SELECT path FROM uncounted_files WHERE revision_id = %(id)s ORDER BY path LIMIT %(limit)s
