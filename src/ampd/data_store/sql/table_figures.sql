-- What metrics tell of the tables of all datasets, as progress_of_job.sql tells it of one job; those that are being written first.
SELECT t.dataset_namespace, t.dataset_name, t.manifest_hash, t.table_name, front.end_block AS current_block,
       coalesce(front.files_count, 0) AS files_count, coalesce(front.total_size_bytes, 0) AS total_size_bytes,
       coalesce(front.row_count, 0) AS row_count,
       (r.metadata ->> 'start_block')::bigint AS start_block,
       (p.data ->> 'end_block')::bigint AS end_block, (p.data ->> 'latest_block')::bigint AS latest_block,
       (SELECT (f.metadata -> 'ranges' -> -1 ->> 'timestamp')::bigint FROM files f
        WHERE f.revision_id = r.id AND f.start_block <= front.end_block ORDER BY f.start_block DESC LIMIT 1) AS front_timestamp,
       (SELECT f.metadata -> 'ranges' -> -1 ->> 'network' FROM files f
        WHERE f.revision_id = r.id AND f.start_block <= front.end_block ORDER BY f.start_block DESC LIMIT 1) AS network,
       j.id AS job_id,
       -- Whether somebody wants the missing blocks: not those of a job that was stopped or set aside, or whose time has not come.
       coalesce(j.state NOT IN ('STOPPED', 'PAUSED') AND NOT (j.rests AND j.state = 'SCHEDULED'), false) AS is_wanted,
       count(*) OVER () AS tables
FROM physical_tables t
JOIN table_revisions r ON r.id = t.active_revision_id
LEFT JOIN block_runs front ON front.revision_id = r.id AND front.start_block = (r.metadata ->> 'start_block')::bigint
LEFT JOIN jobs j ON j.id = r.writer_job_id
LEFT JOIN job_progress p ON p.job_id = j.id AND j.kind = 'extraction'
WHERE %(visible)s::text[] IS NULL OR t.dataset_namespace = ANY (%(visible)s::text[])
ORDER BY (j.state = ANY (%(active_states)s)) DESC NULLS LAST, t.id DESC
LIMIT %(limit)s
