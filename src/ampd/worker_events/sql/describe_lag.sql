-- About how many events are on their way into the log; and of those in it, how many the broker has not taken and how old the first of them is: nothing
-- when nobody has sent for a while. Numbers are nearly without gaps: their distance is the count.
WITH sender AS (
    SELECT sent_to FROM worker_event_sender WHERE leased_until > now() - interval '1 minute'
)
SELECT (SELECT coalesce(max(id) - min(id) + 1, 0) FROM worker_event_outbox) AS outbox,
       (SELECT greatest(0, coalesce((SELECT max(id) FROM worker_events), 0) - sent_to) FROM sender) AS unsent,
       (SELECT extract(epoch FROM now() - (SELECT e.created_at FROM worker_events e WHERE e.id > sender.sent_to ORDER BY e.id LIMIT 1))::float8
        FROM sender) AS oldest_unsent_seconds
