-- Workers that beat: one whose sessions are just being opened again counts, too.
SELECT 'worker ' || w.node_id AS name, w.info ->> 'version' AS version
FROM workers w
JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
WHERE h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)
