-- What metrics tell of all jobs and workers, in one row.
WITH live AS MATERIALIZED (
    SELECT w.node_id, w.info -> 'kinds' AS kinds, w.slots,
           (SELECT count(*) FROM jobs j WHERE j.worker_id = w.node_id AND j.worker_incarnation IS NOT NULL) AS held
    FROM workers w
    JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
    WHERE h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s) AND NOT w.draining AND NOT w.cordoned
), lane AS ( -- many jobs that wait have few things in common
    SELECT j.kind, j.worker_selector,
           CASE
               {waits_for_time}
           END AS reason,
           count(*) AS jobs, min(greatest(j.run_at, j.updated_at)) AS since
    FROM jobs j
    WHERE j.state = 'SCHEDULED'
    GROUP BY 1, 2, 3
), queue AS (
    SELECT j.kind,
           CASE
               WHEN j.reason IS NOT NULL THEN j.reason
               {waits_for_worker}
           END AS waiting_for,
           j.jobs,
           CASE WHEN j.reason IS NULL THEN extract(epoch FROM now() - j.since) END AS seconds
    FROM lane j
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
        FROM (SELECT state, sum(jobs)::bigint AS jobs FROM job_counts GROUP BY state) each) AS states,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(kind, waiting_for, jobs, seconds)), '[]')
        FROM (SELECT kind, waiting_for, sum(jobs) AS jobs, max(seconds) AS seconds FROM queue GROUP BY 1, 2) each) AS queue,
       (SELECT coalesce(jsonb_object_agg(status, workers), '{}')
        FROM (SELECT status, count(*) AS workers FROM worker GROUP BY status) each) AS workers,
       (SELECT coalesce(sum(slots), 0) FROM live)::integer AS slots,
       (SELECT coalesce(sum(held), 0) FROM live)::integer AS slots_taken,
       -- Jobs that a worker has at the moment carry an incarnation.
       (SELECT extract(epoch FROM clock_timestamp() - min(h.heartbeat_at)) FROM worker_heartbeats h
        WHERE EXISTS (SELECT FROM jobs j WHERE j.worker_id = h.node_id AND j.worker_incarnation IS NOT NULL))::float8 AS lease_age
