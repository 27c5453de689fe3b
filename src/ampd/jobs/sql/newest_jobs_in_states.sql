-- The same, of some states: each is read along its own index. The comparison of rows and the order by state say no more than `state =
-- wanted.state` does, but no other index fits them: in the order of their ids alone all jobs that there ever were may be read for a few.
SELECT picked.*
FROM unnest(%(states)s::text[]) AS wanted (state)
CROSS JOIN LATERAL (
    SELECT * FROM jobs
    WHERE (state, id) > (wanted.state, 0) AND (state, id) < (wanted.state, coalesce(%(before_id)s, 9223372036854775807))
      AND {conditions}
    ORDER BY state DESC, id DESC
    LIMIT %(limit)s + %(offset)s
) picked
ORDER BY picked.id DESC
LIMIT %(limit)s OFFSET %(offset)s
