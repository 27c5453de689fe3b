-- Whoever changes the tags of a dataset holds its row: `latest` is decided on what all others have committed.
SELECT namespace, name
FROM datasets
WHERE namespace = %(namespace)s AND name = %(name)s
FOR UPDATE
