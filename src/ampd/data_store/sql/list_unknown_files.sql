-- Those of some objects of a revision that belong to nobody. They were listed before this looks: what is written by then has its row.
SELECT found.file_name
FROM unnest(%(file_names)s::text[]) AS found (file_name)
WHERE NOT EXISTS (SELECT FROM files f WHERE f.revision_id = %(revision_id)s AND f.file_name = found.file_name)
  AND NOT EXISTS (SELECT FROM uncounted_files u WHERE u.path = %(directory)s || '/' || found.file_name)
