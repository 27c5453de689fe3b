-- How far tables lag behind in this minute.
INSERT INTO lag_minutes (at, namespace, lag_blocks)
SELECT date_trunc('minute', now()), namespace, lag_blocks
FROM unnest(%(namespaces)s::text[], %(lags)s::bigint[]) AS seen (namespace, lag_blocks)
ON CONFLICT (at, namespace) DO NOTHING
