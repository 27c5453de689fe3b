-- Live workers that take work, with their slots and how many of them are taken; only those with a free one.
SELECT w.node_id, w.incarnation, w.slots, jobs.held
FROM workers w
JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
CROSS JOIN LATERAL (
    SELECT count(*) AS held FROM jobs j WHERE j.worker_id = w.node_id AND j.worker_incarnation IS NOT NULL
) jobs
WHERE NOT w.draining AND NOT w.cordoned
  AND h.heartbeat_at > statement_timestamp() - make_interval(secs => %(lease_seconds)s)
  AND jobs.held < w.slots
ORDER BY w.node_id
