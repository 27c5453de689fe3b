-- What has changed of jobs and workers, for ampd.jobs.changes: events behind an id; the jobs that a worker has and that were written in the last half
-- minute, with their versions (a transaction ends within that time); and one text that differs when a worker has come, gone, or is drained.
WITH came AS MATERIALIZED (
    SELECT e.id, e.job_id, e.node_id FROM job_events e
    WHERE e.id > coalesce(%(after_id)s::bigint, (SELECT max(id) FROM job_events) - %(first_rows)s, 0)
    ORDER BY e.id LIMIT %(most_rows)s + 1
)
SELECT (SELECT coalesce(max(id), 0) FROM job_events) AS newest,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(came.id, came.job_id, namespace_of_job(j.kind, j.input), came.node_id IS NOT NULL)), '[]')
        FROM came LEFT JOIN jobs j ON j.id = came.job_id) AS events,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(j.id, namespace_of_job(j.kind, j.input), j.xmin::text || ' ' || coalesce(p.xmin::text, ''))), '[]')
        FROM jobs j
        LEFT JOIN job_progress p ON p.job_id = j.id
        WHERE j.worker_incarnation IS NOT NULL
          AND (j.updated_at > now() - interval '30 seconds' OR p.updated_at > now() - interval '30 seconds')) AS held,
       (SELECT coalesce(md5(string_agg(concat_ws(' ', w.node_id, w.xmin, h.incarnation = w.incarnation
                                                     AND h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)), ',' ORDER BY w.node_id)), '')
        FROM workers w JOIN worker_heartbeats h ON h.node_id = w.node_id) AS workers
