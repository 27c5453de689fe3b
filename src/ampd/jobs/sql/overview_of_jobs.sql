-- How many jobs are in which state, and how many executions have failed within a day; by the database's clock of this moment.
SELECT now() AS at,
       (SELECT coalesce(jsonb_object_agg(state, jobs), '{}')
        FROM (SELECT state, sum(jobs)::bigint AS jobs FROM job_counts
              WHERE %(visible)s::text[] IS NULL OR dataset_namespace = ANY (%(visible)s::text[]) GROUP BY state) each) AS states,
       (SELECT count(*) FROM job_executions e
        WHERE e.outcome = 'FAILED' AND e.finished_at > now() - interval '1 day'
          AND (%(visible)s::text[] IS NULL
               OR EXISTS (SELECT FROM jobs j WHERE j.id = e.job_id AND j.kind IN ('extraction', 'verification', 'compaction')
                                               AND j.input ->> 'dataset_namespace' = ANY (%(visible)s::text[])))) AS failed_last_day
