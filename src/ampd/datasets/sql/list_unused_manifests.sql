SELECT m.hash FROM manifests m
WHERE NOT EXISTS (SELECT FROM dataset_manifests dm WHERE dm.hash = m.hash)
  AND NOT EXISTS (SELECT FROM table_revisions r WHERE r.metadata ->> 'manifest_hash' = m.hash)
ORDER BY m.hash
