-- Whether events are recorded from now on.
INSERT INTO worker_event_settings AS s (recorded) VALUES (%(recorded)s)
ON CONFLICT (singleton) DO UPDATE SET recorded = excluded.recorded WHERE s.recorded <> excluded.recorded
