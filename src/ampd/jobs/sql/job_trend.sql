-- What became of executions in each step of some minutes. A minute is known when the whole cluster was counted in it; what a namespace has no row of is 0.
SELECT floor((extract(epoch FROM at) - %(since)s) / %(step_seconds)s)::integer AS step,
       sum(retries)::bigint AS retries, sum(failures)::bigint AS failures, jsonb_agg(durations) FILTER (WHERE durations <> '{}') AS durations
FROM (
    SELECT at,
           CASE WHEN %(visible)s::text[] IS NULL OR namespace <> '*' THEN retries ELSE 0 END AS retries,
           CASE WHEN %(visible)s::text[] IS NULL OR namespace <> '*' THEN failures ELSE 0 END AS failures,
           CASE WHEN %(visible)s::text[] IS NULL OR namespace <> '*' THEN durations ELSE '{}' END AS durations
    FROM job_minutes
    WHERE at >= to_timestamp(%(since)s) AND at < to_timestamp(%(until)s)
      AND (namespace = '*' OR namespace = ANY (%(visible)s::text[]))
) each
GROUP BY 1
