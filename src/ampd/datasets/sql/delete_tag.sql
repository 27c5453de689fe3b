DELETE FROM tags WHERE namespace = %(namespace)s AND name = %(name)s AND version = %(version)s
