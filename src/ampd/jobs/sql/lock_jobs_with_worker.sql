-- Jobs whose worker seems to be gone, locked; list_lost_jobs.sql then tells which of them really are. They are looked for worker by worker:
-- in the order of their ids all jobs that there ever were may be read.
SELECT id FROM jobs
WHERE id = ANY (ARRAY(
    SELECT held.id
    FROM workers w
    CROSS JOIN LATERAL (
        SELECT j.id, j.worker_incarnation FROM jobs j
        WHERE j.worker_id = w.node_id AND j.worker_incarnation IS NOT NULL
        OFFSET 0 -- keeps this apart from the joins around it
    ) held
    LEFT JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = held.worker_incarnation
        AND h.heartbeat_at >= now() - make_interval(secs => %(lease_seconds)s)
    WHERE h.node_id IS NULL))
ORDER BY id
LIMIT 1000
FOR NO KEY UPDATE SKIP LOCKED
