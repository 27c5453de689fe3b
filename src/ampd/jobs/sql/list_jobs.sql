-- A page of jobs, the newest first. Its rows are chosen and limited by newest_jobs.sql or newest_jobs_in_states.sql, put in place of `chosen`.
WITH live AS MATERIALIZED (
    SELECT w.node_id, w.info -> 'kinds' AS kinds
    FROM workers w
    JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
    WHERE h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s) AND NOT w.draining AND NOT w.cordoned
)
SELECT j.id, j.kind, j.state, j.input, j.labels, j.worker_selector, j.worker_id, j.priority, j.run_at, j.retries, j.retry_policy,
    j.retry_count, j.last_error, j.total_retries, j.execution_number, j.schedule, j.recurring, j.next_run_at, j.fires_after,
    j.execution_count, j.started_at, j.ended_at, j.stop_intent, j.stop_reason, j.result, j.created_at, j.updated_at,
    j.run_at <= now() AS due, dependency.list AS depends_on,
    CASE
        WHEN j.state <> 'SCHEDULED' THEN NULL
        WHEN NOT j.dependencies_met AND dependency.failed THEN 'failed_dependency'
        {waits_for_time}
        {waits_for_worker}
    END AS waiting_for
FROM ({chosen}) j
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(CASE
               WHEN %(visible)s::text[] IS NULL OR (other.kind IN ('extraction', 'verification', 'compaction')
                                                    AND other.input ->> 'dataset_namespace' = ANY (%(visible)s::text[]))
                    OR (d.depends_on_key IS NOT NULL
                        AND split_part(replace(d.reference, 'pkg:amp/', ''), '/', 1) = ANY (%(visible)s::text[]))
               THEN jsonb_build_object('reference', d.reference, 'job_id', coalesce(other.id, d.depends_on_id), 'status', other.state)
               -- That it waits may be known, but not for what.
               ELSE jsonb_build_object('reference', 'hidden', 'job_id', NULL, 'status', NULL)
           END ORDER BY d.reference), '[]') AS list,
           -- A job that is gone, or ended without having completed, never completes by itself.
           coalesce(bool_or(other.state IN ('FAILED', 'STOPPED') OR (other.id IS NULL AND d.depends_on_id IS NOT NULL)), false) AS failed
    FROM job_dependencies d
    LEFT JOIN jobs other ON other.id = d.depends_on_id OR other.idempotency_key = d.depends_on_key
    WHERE d.job_id = j.id
) dependency
ORDER BY j.id DESC
