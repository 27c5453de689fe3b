INSERT INTO datasets (namespace, name)
VALUES (%(namespace)s, %(name)s)
ON CONFLICT (namespace, name) DO NOTHING
