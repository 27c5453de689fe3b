-- Of some locked jobs, those whose worker process is gone: its heartbeat is older than a lease, or another incarnation has its name.
-- The whole condition is judged here, under the locks and on what has been committed by now, so that a job that ended or moved while it
-- was looked for is left alone.
SELECT j.id, j.state, j.worker_id, j.lost_worker_count
FROM jobs j
LEFT JOIN worker_heartbeats h ON h.node_id = j.worker_id AND h.incarnation = j.worker_incarnation
WHERE j.id = ANY (%(ids)s)
  AND j.worker_id IS NOT NULL AND j.state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING')
  AND (h.node_id IS NULL OR h.heartbeat_at < now() - make_interval(secs => %(lease_seconds)s))
ORDER BY j.id
