-- Workers, the newest registration first.
SELECT w.node_id, w.info, w.slots, w.draining OR w.cordoned AS draining, w.created_at, w.registered_at, h.heartbeat_at,
       h.incarnation = w.incarnation AND h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s) AS live,
       -- A worker has few jobs: no index of namespaces is to be read for them.
       (SELECT count(*) FILTER (WHERE j.state <> 'SCHEDULED'
                                  AND (%(visible)s::text[] IS NULL OR (j.kind IN ('extraction', 'verification', 'compaction')
                                                                       AND j.input ->> 'dataset_namespace' = ANY (%(visible)s::text[]))))
        FROM jobs j WHERE j.worker_id = w.node_id AND j.worker_incarnation IS NOT NULL) AS running_jobs
FROM workers w
JOIN worker_heartbeats h ON h.node_id = w.node_id
WHERE %(node_id)s::text IS NULL OR w.node_id = %(node_id)s
ORDER BY w.registered_at DESC, w.node_id
