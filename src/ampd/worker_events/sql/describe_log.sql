-- Whether events are recorded, and which ids the log has: those above expired_to, up to last_id.
SELECT coalesce((SELECT recorded FROM worker_event_settings), false) AS recorded,
       coalesce((SELECT expired_to FROM worker_event_settings), 0) AS expired_to,
       greatest(coalesce((SELECT max(id) FROM worker_events), 0), coalesce((SELECT expired_to FROM worker_event_settings), 0)) AS last_id
