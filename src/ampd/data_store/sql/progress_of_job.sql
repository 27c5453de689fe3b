-- How far each table reaches that the job writes: the contiguous, hash-linked files from the dataset's start, and the gaps after them.
WITH revisions AS (
    SELECT r.id, t.table_name, (r.metadata ->> 'start_block')::bigint AS dataset_start
    FROM table_revisions r
    JOIN physical_tables t ON t.active_revision_id = r.id
    WHERE r.writer_job_id = %(job_id)s
), neighbours AS (
    SELECT f.revision_id, f.start_block, f.end_block, f.object_size, f.row_count,
           coalesce(lag(f.end_block) OVER before_it, r.dataset_start - 1) AS previous_end,
           coalesce(lag(f.end_hash) OVER before_it = f.start_parent_hash, true) AS linked
    FROM files f
    JOIN revisions r ON r.id = f.revision_id
    WINDOW before_it AS (PARTITION BY f.revision_id ORDER BY f.start_block, f.created_at DESC)
), marked AS (
    SELECT *, sum(CASE WHEN start_block = previous_end + 1 AND linked THEN 0 ELSE 1 END)
              OVER (PARTITION BY revision_id ORDER BY start_block) AS breaks
    FROM neighbours
)
SELECT r.table_name,
       min(m.start_block) FILTER (WHERE m.breaks = 0) AS start_block,
       max(m.end_block) FILTER (WHERE m.breaks = 0) AS current_block,
       count(*) FILTER (WHERE m.breaks = 0) AS files_count,
       coalesce(sum(m.object_size) FILTER (WHERE m.breaks = 0), 0)::bigint AS total_size_bytes,
       coalesce(sum(m.row_count) FILTER (WHERE m.breaks = 0), 0)::bigint AS row_count,
       coalesce(jsonb_agg(jsonb_build_array(m.previous_end + 1, m.start_block - 1) ORDER BY m.start_block)
                FILTER (WHERE m.start_block > m.previous_end + 1), '[]') AS gaps
FROM revisions r
LEFT JOIN marked m ON m.revision_id = r.id
GROUP BY r.id, r.table_name
ORDER BY r.table_name
