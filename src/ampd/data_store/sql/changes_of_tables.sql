-- What has changed of the lake, for ampd.data_store.changes: files behind an id, and for each namespace a text that differs when ranges are planned,
-- leased or done, or tables have other revisions.
WITH came AS MATERIALIZED (
    SELECT f.id, f.revision_id FROM files f
    WHERE f.id > coalesce(%(after_id)s::bigint, (SELECT max(id) FROM files) - %(first_rows)s, 0)
    ORDER BY f.id LIMIT %(most_rows)s + 1
)
SELECT (SELECT coalesce(max(id), 0) FROM files) AS newest,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(came.id, r.metadata ->> 'dataset_namespace')), '[]')
        FROM came JOIN table_revisions r ON r.id = came.revision_id) AS files,
       (SELECT coalesce(jsonb_object_agg(namespace, version), '{}') FROM (
            SELECT namespace_of_job(j.kind, j.input) AS namespace, md5(string_agg(concat_ws(' ', l.id, l.xmin), ',' ORDER BY l.id)) AS version
            FROM block_range_leases l JOIN jobs j ON j.id = l.job_id GROUP BY 1) each) AS ranges,
       (SELECT coalesce(jsonb_object_agg(dataset_namespace, version), '{}') FROM (
            SELECT dataset_namespace, md5(string_agg(concat_ws(' ', id, xmin), ',' ORDER BY id)) AS version
            FROM physical_tables GROUP BY 1) each) AS tables
