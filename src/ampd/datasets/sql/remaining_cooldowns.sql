-- The seconds for which endpoints still rest.
SELECT endpoint_key, extract(epoch FROM ends_at - now())::float8 AS seconds
FROM endpoint_cooldowns WHERE endpoint_key = ANY(%(keys)s) AND ends_at > now()
