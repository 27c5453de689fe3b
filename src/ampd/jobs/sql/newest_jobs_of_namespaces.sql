-- The same, of the namespaces that somebody sees: each namespace and state along its own index, see newest_jobs_in_states.sql.
SELECT picked.*
FROM unnest(%(visible)s::text[]) AS seen (namespace)
CROSS JOIN unnest(%(visible_states)s::text[]) AS wanted (state)
CROSS JOIN LATERAL (
    SELECT * FROM jobs
    WHERE kind IN ('extraction', 'verification', 'compaction')
      AND input ->> 'dataset_namespace' = seen.namespace AND state = wanted.state
      AND id < coalesce(%(before_id)s, 9223372036854775807)
      AND {conditions}
    ORDER BY id DESC
    LIMIT %(limit)s + %(offset)s
) picked
ORDER BY picked.id DESC
LIMIT %(limit)s OFFSET %(offset)s
