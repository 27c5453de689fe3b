-- An active job that writes the tables of a dataset, or wrote a revision. It is looked for under the locks of the tables: a job that is
-- deployed later waits for these before it writes.
SELECT id, state FROM jobs
WHERE kind IN ('extraction', 'verification', 'compaction') AND kind <> 'verification'
  AND input ->> 'dataset_namespace' = %(namespace)s AND input ->> 'dataset_name' = %(name)s
  AND input ->> 'manifest_hash' = %(manifest_hash)s AND NOT state = ANY (%(terminal_states)s)
UNION ALL
SELECT id, state FROM jobs WHERE id = %(writer_job_id)s::bigint AND NOT state = ANY (%(terminal_states)s)
LIMIT 1
