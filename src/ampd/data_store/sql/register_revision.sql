-- A revision whose files nobody knows yet. Its objects are not compared with its rows before these are there: they would belong to nobody.
INSERT INTO table_revisions (path, metadata, listed_at) VALUES (%(path)s, %(metadata)s, 'infinity')
ON CONFLICT (path) DO NOTHING
