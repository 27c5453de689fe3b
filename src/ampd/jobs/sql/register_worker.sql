-- A worker process takes a name. No row: another process with this name is alive (its session holds the name's lock and it beats; who has
-- retired beats no more).
WITH worker AS (
    INSERT INTO workers (node_id, incarnation, info, slots)
    VALUES (%(node_id)s, %(incarnation)s, %(info)s, %(slots)s)
    ON CONFLICT (node_id) DO UPDATE
        SET incarnation = excluded.incarnation, info = excluded.info, slots = excluded.slots, draining = false, registered_at = now()
        WHERE %(holds_name_lock)s OR NOT EXISTS (
            SELECT FROM worker_heartbeats h
            WHERE h.node_id = workers.node_id AND h.incarnation = workers.incarnation
              AND h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s))
    RETURNING node_id, incarnation
), beat AS (
    INSERT INTO worker_heartbeats (node_id, incarnation, heartbeat_at)
    SELECT node_id, incarnation, clock_timestamp() FROM worker
    ON CONFLICT (node_id) DO UPDATE SET incarnation = excluded.incarnation, heartbeat_at = excluded.heartbeat_at
)
SELECT node_id FROM worker
