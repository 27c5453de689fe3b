-- Jobs whose worker seems to be gone, locked; list_lost_jobs.sql then tells which of them really are.
SELECT j.id
FROM jobs j
WHERE j.worker_id IS NOT NULL AND j.state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING')
  AND NOT EXISTS (
      SELECT FROM worker_heartbeats h
      WHERE h.node_id = j.worker_id AND h.incarnation = j.worker_incarnation
        AND h.heartbeat_at >= now() - make_interval(secs => %(lease_seconds)s))
ORDER BY j.id
LIMIT 1000
FOR UPDATE OF j SKIP LOCKED
