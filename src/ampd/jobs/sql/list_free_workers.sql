-- Live workers that take work, with their slots and how many of them are taken; only those with a free one.
SELECT w.node_id, w.incarnation, w.slots, count(j.id) AS held
FROM workers w
JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
LEFT JOIN jobs j ON j.worker_id = w.node_id AND j.state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING')
WHERE NOT w.draining AND NOT w.cordoned
  AND h.heartbeat_at > statement_timestamp() - make_interval(secs => %(lease_seconds)s)
GROUP BY w.node_id
HAVING count(j.id) < w.slots
ORDER BY w.node_id
