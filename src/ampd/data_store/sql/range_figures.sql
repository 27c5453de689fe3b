-- What metrics tell of the ranges of all jobs.
SELECT state, count(*) AS ranges,
       extract(epoch FROM now() - min(leased_at) FILTER (WHERE incarnation IS NOT NULL))::float8 AS oldest_seconds
FROM block_range_leases GROUP BY state
