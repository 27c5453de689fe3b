-- The running jobs that have a free range and a lane for it, in the order in which they are helped; each with the live workers that take
-- work, have a free slot, and read fewer ranges of the job than the process that asks. A range of which that process has nearly read the
-- last block counts as read.
SELECT j.id AS job_id, j.input, j.worker_selector, j.execution_number,
       (SELECT count(*) FROM job_attempts a
        WHERE a.job_id = j.id AND a.lease_epoch > e.from_epoch AND a.started_at IS NOT NULL)::integer AS attempt,
       ARRAY(
           SELECT w.node_id
           FROM workers w
           JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
           WHERE ours.reading > 0 AND w.incarnation <> %(incarnation)s AND NOT w.draining AND NOT w.cordoned
             AND h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)
             AND w.slots > (SELECT count(*) FROM jobs held WHERE held.worker_id = w.node_id AND held.worker_incarnation IS NOT NULL)
                         + (SELECT count(*) FROM block_range_leases r WHERE r.incarnation = w.incarnation AND r.state = 'READING')
             AND (SELECT count(*) FROM block_range_leases r
                  WHERE r.job_id = j.id AND r.incarnation = w.incarnation AND r.state = 'READING') < ours.reading
           ORDER BY w.node_id
       ) AS less_busy
FROM extraction_plans p
JOIN jobs j ON j.id = p.job_id
LEFT JOIN job_executions e ON e.job_id = j.id AND e.number = j.execution_number
CROSS JOIN LATERAL (
    SELECT count(*) AS reading FROM block_range_leases r
    WHERE r.job_id = p.job_id AND r.incarnation = %(incarnation)s AND r.state = 'READING'
      AND r.id IS DISTINCT FROM %(closing_id)s::bigint
) ours
WHERE p.job_id IN (SELECT l.job_id FROM block_range_leases l WHERE l.state = 'FREE')
  AND NOT p.stops AND j.state = 'RUNNING'
  AND (SELECT count(*) FROM block_range_leases h WHERE h.job_id = p.job_id AND h.state = 'READING'
         AND h.id IS DISTINCT FROM %(closing_id)s::bigint) < p.parallelism
ORDER BY j.priority DESC, j.id
