-- A row when somebody has looked in this minute how far tables lag behind.
SELECT 1 AS found FROM lag_minutes WHERE at = date_trunc('minute', now()) LIMIT 1
