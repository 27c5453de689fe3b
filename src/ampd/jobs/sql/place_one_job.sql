-- The first due job that fits a live worker with a free slot goes to the least loaded such worker. One job per call.
-- The caller holds the placement lock, so loads are exact (design section 4.4).
WITH load AS (
    SELECT w.node_id, w.incarnation, w.slots, count(j.id) AS held
    FROM workers w
    JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
    LEFT JOIN jobs j ON j.worker_id = w.node_id AND j.state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING')
    WHERE NOT w.draining AND h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)
    GROUP BY w.node_id
), pick AS (
    SELECT j.id, target.node_id, target.incarnation
    FROM jobs j
    CROSS JOIN LATERAL (
        SELECT l.node_id, l.incarnation
        FROM load l
        WHERE l.held < l.slots
          AND (j.worker_selector IS NULL OR l.node_id = j.worker_selector
               OR (right(j.worker_selector, 1) = '*' AND starts_with(l.node_id, left(j.worker_selector, -1))))
        ORDER BY l.held::float / l.slots, l.node_id
        LIMIT 1
    ) target
    WHERE j.state = 'SCHEDULED' AND j.worker_id IS NULL AND j.run_at <= now()
    ORDER BY j.priority DESC, j.run_at, j.id
    LIMIT 1
    FOR UPDATE OF j SKIP LOCKED
), assigned AS (
    UPDATE jobs
    SET worker_id = pick.node_id, worker_incarnation = pick.incarnation, lease_epoch = lease_epoch + 1, updated_at = now()
    FROM pick
    WHERE jobs.id = pick.id
    RETURNING jobs.id, jobs.worker_id, jobs.worker_incarnation, jobs.lease_epoch, jobs.execution_number
), attempt AS (
    INSERT INTO job_attempts (job_id, lease_epoch, execution_number, worker_id, worker_incarnation)
    SELECT id, lease_epoch, execution_number, worker_id, worker_incarnation FROM assigned
)
SELECT id, worker_id FROM assigned
