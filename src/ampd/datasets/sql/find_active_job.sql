-- A job of a dataset that has not ended.
SELECT id, state FROM jobs
WHERE kind IN ('extraction', 'verification', 'compaction')
  AND input ->> 'dataset_namespace' = %(namespace)s AND input ->> 'dataset_name' = %(name)s AND state = ANY (%(states)s)
ORDER BY id LIMIT 1
