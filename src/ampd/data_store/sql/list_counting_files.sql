-- Those of some files that count.
SELECT r.path || '/' || f.file_name AS path
FROM unnest(%(revision_ids)s::bigint[], %(file_names)s::text[]) AS asked (revision_id, file_name)
JOIN files f ON f.revision_id = asked.revision_id AND f.file_name = asked.file_name
JOIN table_revisions r ON r.id = f.revision_id
