-- A heartbeat. It brings back what the worker should be doing: no row when the name belongs to another process now. Only jobs that a worker has
-- at the moment carry an incarnation, in whatever state: asked for by their states, all jobs in these might be read.
WITH beat AS (
    UPDATE worker_heartbeats SET heartbeat_at = clock_timestamp()
    WHERE node_id = %(node_id)s AND incarnation = %(incarnation)s
    RETURNING node_id
)
SELECT w.cordoned, wanted.list AS wanted
FROM beat
JOIN workers w ON w.node_id = beat.node_id
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('job_id', j.id, 'state', j.state, 'lease_epoch', j.lease_epoch)), '[]') AS list
    FROM jobs j
    WHERE j.worker_id = beat.node_id AND j.worker_incarnation = %(incarnation)s
) wanted
