-- What has changed of webhooks, for ampd.webhooks.changes: deliveries behind an id; and of each endpoint a text that differs when it, or one of the
-- first deliveries that wait, has changed.
WITH came AS MATERIALIZED (
    SELECT d.id, d.webhook_id FROM webhook_deliveries d
    WHERE d.id > coalesce(%(after_id)s::bigint, (SELECT max(id) FROM webhook_deliveries) - %(first_rows)s, 0)
    ORDER BY d.id LIMIT %(most_rows)s + 1
)
SELECT (SELECT coalesce(max(id), 0) FROM webhook_deliveries) AS newest,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(id, webhook_id)), '[]') FROM came) AS deliveries,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(w.id, w.dataset_namespaces, concat_ws(' ', w.xmin, waiting.version))), '[]')
        FROM webhooks w
        CROSS JOIN LATERAL (
            SELECT md5(string_agg(concat_ws(' ', first.id, first.version), ',' ORDER BY first.id)) AS version
            FROM (SELECT d.id, d.xmin AS version FROM webhook_deliveries d
                  WHERE d.webhook_id = w.id AND d.status = 'PENDING' ORDER BY d.next_attempt_at, d.id LIMIT 200) first
        ) waiting) AS webhooks
