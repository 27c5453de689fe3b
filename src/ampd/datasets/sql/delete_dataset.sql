-- Its links and tags go with it.
DELETE FROM datasets WHERE namespace = %(namespace)s AND name = %(name)s
