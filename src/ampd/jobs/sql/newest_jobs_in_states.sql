-- The same, of some states: each is read along its own index.
SELECT picked.*
FROM unnest(%(states)s::text[]) AS wanted (state)
CROSS JOIN LATERAL (
    SELECT * FROM jobs WHERE state = wanted.state AND {conditions} ORDER BY id DESC LIMIT %(limit)s
) picked
ORDER BY picked.id DESC
LIMIT %(limit)s
