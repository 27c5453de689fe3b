-- Ranges whose worker process seems to be gone; they are judged again under their locks.
SELECT l.id FROM block_range_leases l
LEFT JOIN worker_heartbeats h ON h.node_id = l.worker_id AND h.incarnation = l.incarnation
WHERE l.incarnation IS NOT NULL
  AND (h.node_id IS NULL OR h.heartbeat_at < now() - make_interval(secs => %(lease_seconds)s))
