-- The same, of the datasets of some namespaces: each namespace and state along its own index, see newest_jobs_in_states.sql.
SELECT picked.*
FROM unnest(%(namespaces)s::text[]) AS seen (namespace)
CROSS JOIN unnest(%(visible_states)s::text[]) AS wanted (state)
CROSS JOIN LATERAL (
    SELECT * FROM jobs
    WHERE kind IN ('extraction', 'verification', 'compaction')
      AND (namespace_of_job(kind, input), state, id) > (seen.namespace, wanted.state, 0)
      AND (namespace_of_job(kind, input), state, id) < (seen.namespace, wanted.state, coalesce(%(before_id)s, 9223372036854775807))
      AND {conditions}
    ORDER BY namespace_of_job(kind, input) DESC, state DESC, id DESC
    LIMIT %(limit)s + %(offset)s
) picked
ORDER BY picked.id DESC
LIMIT %(limit)s OFFSET %(offset)s
