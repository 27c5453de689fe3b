-- A heartbeat. It brings back what the worker should be doing: no row when the name belongs to another process now.
WITH beat AS (
    UPDATE worker_heartbeats SET heartbeat_at = clock_timestamp()
    WHERE node_id = %(node_id)s AND incarnation = %(incarnation)s
    RETURNING node_id
)
SELECT bool_or(w.cordoned) AS cordoned,
       coalesce(jsonb_agg(jsonb_build_object('job_id', j.id, 'state', j.state, 'lease_epoch', j.lease_epoch))
                FILTER (WHERE j.id IS NOT NULL), '[]') AS wanted
FROM beat
JOIN workers w ON w.node_id = beat.node_id
LEFT JOIN jobs j ON j.worker_id = beat.node_id AND j.worker_incarnation = %(incarnation)s
    AND j.state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING')
GROUP BY beat.node_id
