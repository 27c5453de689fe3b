-- Where an event stands in the log, for somebody who sees it.
SELECT id FROM worker_events
WHERE event_id = %(event_id)s AND (%(visible)s::text[] IS NULL OR dataset_namespace = ANY (%(visible)s::text[]))
