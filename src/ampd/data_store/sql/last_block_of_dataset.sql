-- The highest block that any table of a dataset has; while a job writes it, the last before the first gap: the rest is still to come.
-- Null when there is none.
SELECT CASE WHEN bool_or(j.state = ANY (%(active_states)s)) AND bool_or(run.end_block IS NULL) THEN NULL
            WHEN bool_or(j.state = ANY (%(active_states)s)) THEN min(run.end_block)
            ELSE max(newest.end_block) END AS last_block
FROM physical_tables t
JOIN table_revisions r ON r.id = t.active_revision_id
LEFT JOIN jobs j ON j.id = r.writer_job_id
LEFT JOIN block_runs run ON run.revision_id = r.id AND run.start_block = (r.metadata ->> 'start_block')::bigint
LEFT JOIN LATERAL (
    SELECT end_block FROM files WHERE revision_id = r.id ORDER BY start_block DESC LIMIT 1
) newest ON true
WHERE t.dataset_namespace = %(namespace)s AND t.dataset_name = %(name)s AND t.manifest_hash = %(manifest_hash)s
