SELECT namespace, name FROM datasets WHERE %(visible)s::text[] IS NULL OR namespace = ANY (%(visible)s::text[]) ORDER BY namespace, name LIMIT %(limit)s
