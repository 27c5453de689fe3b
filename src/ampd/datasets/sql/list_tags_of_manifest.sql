SELECT namespace, name, version FROM tags
WHERE hash = %(hash)s AND (%(visible)s::text[] IS NULL OR namespace = ANY (%(visible)s::text[]))
ORDER BY namespace, name, version
