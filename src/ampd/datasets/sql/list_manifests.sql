SELECT m.hash, m.kind, count(dm.hash)::integer AS dataset_count
FROM manifests m
LEFT JOIN dataset_manifests dm ON dm.hash = m.hash
GROUP BY m.hash
ORDER BY m.hash
