-- What metrics tell of all jobs and workers, in one row.
WITH live AS MATERIALIZED (
    SELECT w.node_id, w.info -> 'kinds' AS kinds, w.slots,
           (SELECT count(*) FROM jobs j WHERE j.worker_id = w.node_id AND j.worker_incarnation IS NOT NULL) AS held
    FROM workers w
    JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
    WHERE h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s) AND NOT w.draining AND NOT w.cordoned
), lane AS ( -- many jobs that wait have few things in common
    SELECT j.kind, j.worker_selector AS selector,
           CASE
               WHEN NOT j.dependencies_met THEN 'dependency'
               WHEN j.rests THEN 'run_at'
               WHEN j.run_at > now() AND j.retry_count > 0 THEN 'retry'
               WHEN j.run_at > now() THEN 'run_at'
               WHEN j.worker_id IS NOT NULL THEN 'start'
           END AS reason,
           count(*) AS jobs, min(greatest(j.run_at, j.updated_at)) AS since
    FROM jobs j
    WHERE j.state = 'SCHEDULED'
    GROUP BY 1, 2, 3
), queue AS (
    SELECT lane.kind,
           CASE
               WHEN lane.reason IS NOT NULL THEN lane.reason
               WHEN NOT EXISTS (
                   SELECT FROM live
                   WHERE lane.selector IS NULL OR live.node_id = lane.selector
                      OR (right(lane.selector, 1) = '*' AND starts_with(live.node_id, left(lane.selector, -1)))
               ) THEN 'worker'
               WHEN NOT EXISTS (
                   SELECT FROM live
                   WHERE (lane.selector IS NULL OR live.node_id = lane.selector
                          OR (right(lane.selector, 1) = '*' AND starts_with(live.node_id, left(lane.selector, -1))))
                     AND (live.kinds IS NULL OR live.kinds ? lane.kind)
               ) THEN 'handler'
               ELSE 'slot'
           END AS waiting_for,
           lane.jobs,
           CASE WHEN lane.reason IS NULL THEN extract(epoch FROM now() - lane.since) END AS seconds
    FROM lane
), worker AS (
    SELECT CASE
               WHEN h.incarnation <> w.incarnation OR h.heartbeat_at <= now() - make_interval(secs => %(lease_seconds)s) THEN 'dead'
               WHEN w.draining OR w.cordoned THEN 'draining'
               ELSE 'live'
           END AS status
    FROM workers w
    JOIN worker_heartbeats h ON h.node_id = w.node_id
)
SELECT (SELECT coalesce(jsonb_object_agg(state, jobs), '{}')
        FROM (SELECT state, count(*) AS jobs FROM jobs GROUP BY state) each) AS states,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(kind, waiting_for, jobs, seconds)), '[]')
        FROM (SELECT kind, waiting_for, sum(jobs) AS jobs, max(seconds) AS seconds FROM queue GROUP BY 1, 2) each) AS queue,
       (SELECT coalesce(jsonb_object_agg(status, workers), '{}')
        FROM (SELECT status, count(*) AS workers FROM worker GROUP BY status) each) AS workers,
       (SELECT coalesce(sum(slots), 0) FROM live)::integer AS slots,
       (SELECT coalesce(sum(held), 0) FROM live)::integer AS slots_taken,
       -- Jobs that a worker has at the moment carry an incarnation.
       (SELECT extract(epoch FROM clock_timestamp() - min(h.heartbeat_at)) FROM worker_heartbeats h
        WHERE EXISTS (SELECT FROM jobs j WHERE j.worker_id = h.node_id AND j.worker_incarnation IS NOT NULL))::float8 AS lease_age
