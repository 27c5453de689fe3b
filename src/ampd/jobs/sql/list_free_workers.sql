-- Live workers that take work, with their slots, how many of them are taken, and the kinds of jobs that they run (NULL: a worker of an
-- earlier release, which does not say); only those with a free slot.
SELECT w.node_id, w.incarnation, w.slots, jobs.held, w.info -> 'kinds' AS kinds
FROM workers w
JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
CROSS JOIN LATERAL (
    SELECT count(*) AS held FROM jobs j WHERE j.worker_id = w.node_id AND j.worker_incarnation IS NOT NULL
) jobs
WHERE NOT w.draining AND NOT w.cordoned
  AND h.heartbeat_at > statement_timestamp() - make_interval(secs => %(lease_seconds)s)
  AND jobs.held < w.slots
ORDER BY w.node_id
