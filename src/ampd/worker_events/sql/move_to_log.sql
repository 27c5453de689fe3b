-- The next events of the outbox enter the log, in their order.
WITH moved AS (
    DELETE FROM worker_event_outbox WHERE id = ANY (ARRAY(SELECT id FROM worker_event_outbox ORDER BY id LIMIT %(batch)s)) RETURNING *
), logged AS (
    INSERT INTO worker_events (event_id, event_type, created_at, worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name,
                               start_block, current_block, end_block, files_count, total_size_bytes, duration_ms, error_message, error_type)
    SELECT event_id, event_type, created_at, worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name, start_block,
           current_block, end_block, files_count, total_size_bytes, duration_ms, error_message, error_type
    FROM moved
    ORDER BY id
    RETURNING id
)
SELECT count(*) AS moved FROM logged
