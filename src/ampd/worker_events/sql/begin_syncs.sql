-- An attempt begins to write its tables, inside the transaction that begins its plan: one event of each, when events are recorded.
WITH begun AS (
    INSERT INTO worker_event_syncs AS s (job_id, table_name, revision_id, dataset_namespace, dataset_name, manifest_hash, worker_id, start_block,
                                         end_block, told_block)
    SELECT r.writer_job_id, t.table_name, r.id, t.dataset_namespace, t.dataset_name, t.manifest_hash, %(worker_id)s,
           (r.metadata ->> 'start_block')::bigint, (p.data ->> 'end_block')::bigint, coalesce(front.end_block, -1)
    FROM table_revisions r
    JOIN physical_tables t ON t.active_revision_id = r.id
    LEFT JOIN block_runs front ON front.revision_id = r.id AND front.start_block = (r.metadata ->> 'start_block')::bigint
    LEFT JOIN job_progress p ON p.job_id = r.writer_job_id
    WHERE r.writer_job_id = %(job_id)s AND EXISTS (SELECT FROM worker_event_settings WHERE recorded)
    ON CONFLICT (job_id, table_name) DO UPDATE
    SET revision_id = excluded.revision_id, worker_id = excluded.worker_id, start_block = excluded.start_block, end_block = excluded.end_block,
        started_at = now(), told_block = excluded.told_block, told_at = '-infinity'
    RETURNING s.*
)
INSERT INTO worker_event_outbox (event_id, event_type, worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name, start_block,
                                 end_block)
SELECT worker_event_id(now()), 'sync.started', worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name, start_block,
       end_block
FROM begun
ORDER BY table_name
