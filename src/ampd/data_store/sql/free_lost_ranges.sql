-- Of some locked ranges, those whose worker process is gone are free again: its heartbeat is older than a lease, or another incarnation has its
-- name.
UPDATE block_range_leases l SET state = 'FREE', worker_id = NULL, incarnation = NULL
WHERE l.id = ANY (%(ids)s) AND l.incarnation IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM worker_heartbeats h
      WHERE h.node_id = l.worker_id AND h.incarnation = l.incarnation
        AND h.heartbeat_at >= now() - make_interval(secs => %(lease_seconds)s))
RETURNING l.id, l.job_id, l.start_block, l.end_block
