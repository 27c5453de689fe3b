SELECT d.namespace, d.name,
       coalesce(array_agg(t.version ORDER BY t.created_at, t.version) FILTER (WHERE t.version IS NOT NULL), '{}') AS tags
FROM datasets d
LEFT JOIN tags t ON t.namespace = d.namespace AND t.name = d.name
WHERE %(visible)s::text[] IS NULL OR d.namespace = ANY (%(visible)s::text[])
GROUP BY d.namespace, d.name
ORDER BY d.namespace, d.name
