SELECT namespace, name, version FROM tags WHERE hash = %(hash)s ORDER BY namespace, name, version
