-- The same, of a filter that job_counts knows enough for: no job is read but those that wait for their time. Both see the same moment.
WITH counted AS (
    SELECT state, sum(jobs) AS jobs, sum(retried) AS retried, sum(retries) AS retries
    FROM job_counts
    WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s))
      AND (%(dataset_namespace)s::text IS NULL OR (dataset_namespace = %(dataset_namespace)s AND dataset_namespace <> ''))
      AND (%(visible)s::text[] IS NULL OR dataset_namespace = ANY (%(visible)s))
    GROUP BY state
), early AS (
    SELECT count(*) AS jobs FROM jobs WHERE state = 'SCHEDULED' AND run_at > now() AND {conditions}
)
SELECT coalesce(sum(counted.jobs), 0)::bigint AS total,
       (SELECT jobs FROM early) AS scheduled,
       coalesce(sum(counted.jobs) FILTER (WHERE state = 'SCHEDULED'), 0)::bigint - (SELECT jobs FROM early) AS queued,
       coalesce(sum(counted.jobs) FILTER (WHERE state IN ('RUNNING', 'STOP_REQUESTED', 'STOPPING')), 0)::bigint AS running,
       coalesce(sum(counted.jobs) FILTER (WHERE state = 'PAUSED'), 0)::bigint AS paused,
       coalesce(sum(counted.jobs) FILTER (WHERE state = 'COMPLETED'), 0)::bigint AS completed,
       coalesce(sum(counted.jobs) FILTER (WHERE state = 'STOPPED'), 0)::bigint AS cancelled,
       coalesce(sum(counted.jobs) FILTER (WHERE state = 'FAILED'), 0)::bigint AS failed,
       coalesce(sum(counted.jobs - counted.retried) FILTER (WHERE state = 'COMPLETED'), 0)::bigint AS completed_first_try,
       coalesce(sum(counted.retried) FILTER (WHERE state = 'COMPLETED'), 0)::bigint AS completed_after_retry,
       (sum(counted.retries) FILTER (WHERE state IN ('COMPLETED', 'FAILED'))
        / nullif(sum(counted.jobs) FILTER (WHERE state IN ('COMPLETED', 'FAILED')), 0))::float8 AS avg_retry_count
FROM counted
