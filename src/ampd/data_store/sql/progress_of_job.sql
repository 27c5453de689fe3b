-- How far each table reaches that the job writes: the run from the dataset's start, and the runs behind it.
SELECT t.table_name, front.start_block, front.end_block AS current_block, coalesce(front.files_count, 0) AS files_count,
       coalesce(front.total_size_bytes, 0) AS total_size_bytes, coalesce(front.row_count, 0) AS row_count,
       coalesce(later.gaps, '[]') AS gaps
FROM table_revisions r
JOIN physical_tables t ON t.active_revision_id = r.id
LEFT JOIN block_runs front ON front.revision_id = r.id AND front.start_block = (r.metadata ->> 'start_block')::bigint
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(gap.start_block, gap.end_block) ORDER BY gap.start_block) AS gaps
    FROM (
        SELECT coalesce(lag(b.end_block) OVER (ORDER BY b.start_block) + 1, (r.metadata ->> 'start_block')::bigint) AS start_block,
               b.start_block - 1 AS end_block
        FROM block_runs b WHERE b.revision_id = r.id
    ) gap
    WHERE gap.start_block <= gap.end_block
) later ON true
WHERE r.writer_job_id = %(job_id)s
ORDER BY t.table_name
