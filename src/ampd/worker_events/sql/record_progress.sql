-- Tables whose contiguous blocks reach further than was told, each at most once in an interval. The job stays in its state until this has been
-- committed, so that nothing is told of it after its end; one that changes just now is left to the next look.
WITH due AS (
    SELECT s.job_id, s.table_name, front.end_block AS current_block, front.files_count, front.total_size_bytes
    FROM worker_event_syncs s
    JOIN jobs j ON j.id = s.job_id
    JOIN block_runs front ON front.revision_id = s.revision_id AND front.start_block = s.start_block
    WHERE j.state IN ('RUNNING', 'STOP_REQUESTED', 'STOPPING')
      AND s.told_at <= now() - make_interval(secs => %(interval_seconds)s) AND front.end_block > s.told_block
    ORDER BY s.job_id, s.table_name
    FOR SHARE OF j SKIP LOCKED
), told AS (
    UPDATE worker_event_syncs s SET told_block = due.current_block, told_at = now()
    FROM due
    WHERE s.job_id = due.job_id AND s.table_name = due.table_name
    RETURNING s.*, due.files_count, due.total_size_bytes
)
INSERT INTO worker_event_outbox (event_id, event_type, worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name, start_block,
                                 current_block, end_block, files_count, total_size_bytes)
SELECT worker_event_id(now()), 'sync.progress', worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name, start_block,
       told_block, end_block, files_count, total_size_bytes
FROM told
ORDER BY job_id, table_name
