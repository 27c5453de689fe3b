-- One process at a time moves events into the log; the others let it.
SELECT pg_try_advisory_xact_lock(hashtextextended('ampd.worker_events.log', 0)) AS taken
