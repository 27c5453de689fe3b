-- What became of executions in each step of some minutes. A minute is known when the whole cluster was counted in it; what a namespace has no row of is 0.
WITH counted AS MATERIALIZED (
    SELECT (extract(epoch FROM at)::bigint - %(since)s) / %(step_seconds)s AS step, namespace = ANY (%(shown)s::text[]) AS is_shown,
           retries, failures, durations
    FROM job_minutes
    WHERE namespace = ANY (%(known_by)s::text[] || %(shown)s::text[]) AND at >= to_timestamp(%(since)s) AND at < to_timestamp(%(until)s)
), ended AS (
    SELECT step, jsonb_object_agg(of_step.key, of_step.executions) AS durations
    FROM (SELECT counted.step, d.key, sum(d.value::bigint) AS executions
          FROM counted CROSS JOIN jsonb_each_text(counted.durations) d WHERE counted.is_shown AND counted.durations <> '{}' GROUP BY 1, 2) of_step
    GROUP BY step
)
SELECT summed.step, summed.retries, summed.failures, coalesce(ended.durations, '{}') AS durations
FROM (SELECT step, coalesce(sum(retries) FILTER (WHERE is_shown), 0)::bigint AS retries,
             coalesce(sum(failures) FILTER (WHERE is_shown), 0)::bigint AS failures
      FROM counted GROUP BY step) summed
LEFT JOIN ended ON ended.step = summed.step
