-- Held by the worker's heartbeat session for as long as it lives; free again at once when the process dies.
SELECT pg_try_advisory_lock(hashtextextended('ampd.worker:' || %(node_id)s, 0)) AS taken
