-- From here on an object of the revision that has no row belongs to nobody.
UPDATE table_revisions SET listed_at = now(), updated_at = now() WHERE id = %(id)s AND listed_at = 'infinity'
