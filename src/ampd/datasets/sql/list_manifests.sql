SELECT m.hash, m.kind, count(dm.hash)::integer AS dataset_count
FROM manifests m
LEFT JOIN dataset_manifests dm ON dm.hash = m.hash AND (%(visible)s::text[] IS NULL OR dm.namespace = ANY (%(visible)s::text[]))
WHERE %(visible)s::text[] IS NULL OR dm.hash IS NOT NULL
GROUP BY m.hash
ORDER BY m.hash
