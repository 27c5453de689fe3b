-- A page of jobs, the newest first. Its rows are chosen and limited by newest_jobs.sql or newest_jobs_in_states.sql, put in place of `chosen`.
WITH live AS MATERIALIZED (
    SELECT w.node_id, w.info -> 'kinds' AS kinds
    FROM workers w
    JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
    WHERE h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s) AND NOT w.draining AND NOT w.cordoned
)
SELECT j.*, j.run_at <= now() AS due, dependency.list AS depends_on,
    CASE
        WHEN j.state <> 'SCHEDULED' THEN NULL
        WHEN NOT j.dependencies_met AND dependency.failed THEN 'failed_dependency'
        WHEN NOT j.dependencies_met THEN 'dependency'
        WHEN j.rests THEN 'run_at'
        WHEN j.run_at > now() AND j.retry_count > 0 THEN 'retry'
        WHEN j.run_at > now() THEN 'run_at'
        WHEN j.worker_id IS NOT NULL THEN 'start'
        WHEN NOT EXISTS (
            SELECT FROM live
            WHERE j.worker_selector IS NULL OR live.node_id = j.worker_selector
               OR (right(j.worker_selector, 1) = '*' AND starts_with(live.node_id, left(j.worker_selector, -1)))
        ) THEN 'worker'
        WHEN NOT EXISTS (
            SELECT FROM live
            WHERE (j.worker_selector IS NULL OR live.node_id = j.worker_selector
                   OR (right(j.worker_selector, 1) = '*' AND starts_with(live.node_id, left(j.worker_selector, -1))))
              AND (live.kinds IS NULL OR live.kinds ? j.kind)
        ) THEN 'handler'
        ELSE 'slot'
    END AS waiting_for
FROM ({chosen}) j
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('reference', d.reference, 'job_id', coalesce(other.id, d.depends_on_id), 'status', other.state)
                              ORDER BY d.reference), '[]') AS list,
           -- A job that is gone, or ended without having completed, never completes by itself.
           coalesce(bool_or(other.state IN ('FAILED', 'STOPPED') OR (other.id IS NULL AND d.depends_on_id IS NOT NULL)), false) AS failed
    FROM job_dependencies d
    LEFT JOIN jobs other ON other.id = d.depends_on_id OR other.idempotency_key = d.depends_on_key
    WHERE d.job_id = j.id
) dependency
ORDER BY j.id DESC
