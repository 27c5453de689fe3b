-- What was counted of a minute.
INSERT INTO job_minutes (at, namespace, retries, failures, durations)
SELECT %(at)s, namespace, retries, failures, durations
FROM unnest(%(namespaces)s::text[], %(retries)s::bigint[], %(failures)s::bigint[], %(durations)s::jsonb[])
    AS counted (namespace, retries, failures, durations)
