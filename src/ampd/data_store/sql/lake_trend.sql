-- What came to count in each step of some minutes, how many of these minutes were counted, and the largest lag that somebody saw in them. As in
-- job_trend.sql, what a namespace has no row of is 0.
WITH counted AS (
    SELECT floor((extract(epoch FROM at) - %(since)s) / %(step_seconds)s)::integer AS step,
           count(*) FILTER (WHERE namespace = '*') AS minutes,
           coalesce(sum(blocks) FILTER (WHERE %(visible)s::text[] IS NULL OR namespace <> '*'), 0)::bigint AS blocks,
           coalesce(sum(row_count) FILTER (WHERE %(visible)s::text[] IS NULL OR namespace <> '*'), 0)::bigint AS row_count,
           coalesce(sum(bytes) FILTER (WHERE %(visible)s::text[] IS NULL OR namespace <> '*'), 0)::bigint AS bytes
    FROM lake_minutes
    WHERE at >= to_timestamp(%(since)s) AND at < to_timestamp(%(until)s)
      AND (namespace = '*' OR namespace = ANY (%(visible)s::text[]))
    GROUP BY 1
), lag AS (
    SELECT floor((extract(epoch FROM at) - %(since)s) / %(step_seconds)s)::integer AS step, max(lag_blocks) AS lag_blocks
    FROM lag_minutes
    WHERE at >= to_timestamp(%(since)s) AND at < to_timestamp(%(until)s)
      AND (CASE WHEN %(visible)s::text[] IS NULL THEN namespace = '*' ELSE namespace = ANY (%(visible)s::text[]) END)
    GROUP BY 1
)
SELECT coalesce(counted.step, lag.step) AS step, counted.minutes, counted.blocks, counted.row_count, counted.bytes, lag.lag_blocks
FROM counted FULL JOIN lag ON lag.step = counted.step
