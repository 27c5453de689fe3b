-- What the handler reported, how many blocks the job has in its least complete table, and its speed over the last minute while it runs.
WITH attempt AS (
    SELECT a.started_at, greatest(a.started_at, now() - interval '1 minute') AS since
    FROM job_attempts a
    JOIN jobs j ON j.id = a.job_id AND j.lease_epoch = a.lease_epoch
    WHERE a.job_id = %(job_id)s AND a.finished_at IS NULL AND a.started_at IS NOT NULL
), tables AS (
    SELECT r.id,
           (SELECT coalesce(sum(b.end_block - b.start_block + 1), 0) FROM block_runs b WHERE b.revision_id = r.id) AS blocks,
           (SELECT coalesce(sum(f.end_block - f.start_block + 1), 0) FROM files f
            WHERE f.revision_id = r.id AND f.created_at >= (SELECT since FROM attempt)) AS recent
    FROM table_revisions r
    JOIN physical_tables t ON t.active_revision_id = r.id
    WHERE r.writer_job_id = %(job_id)s
)
SELECT coalesce((SELECT data FROM job_progress WHERE job_id = %(job_id)s), '{}') AS report,
       (SELECT min(blocks) FROM tables)::bigint AS blocks_done,
       (SELECT min(recent) FROM tables) / nullif(extract(epoch FROM now() - (SELECT since FROM attempt)), 0) AS blocks_per_second
