-- Minutes of the lake that no chart shows any more.
WITH lags AS (
    DELETE FROM lag_minutes WHERE at < now() - make_interval(days => %(kept_days)s)
)
DELETE FROM lake_minutes WHERE at < now() - make_interval(days => %(kept_days)s)
