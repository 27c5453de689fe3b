-- The oldest portion of the log: what is older than it is kept goes, unless the sender has not sent it yet. A sender that has not been there for as
-- long as unsent events are kept is waited for no longer.
WITH sender AS (
    SELECT sent_to FROM worker_event_sender WHERE leased_until > now() - make_interval(secs => %(unsent_seconds)s)
), oldest AS (
    SELECT id, created_at FROM worker_events ORDER BY id LIMIT %(batch)s
), doomed AS (
    SELECT o.id, o.id > coalesce(s.sent_to, o.id) AS is_unsent
    FROM oldest o
    LEFT JOIN sender s ON true
    WHERE o.created_at < now() - make_interval(secs => %(unsent_seconds)s)
       OR (o.created_at < now() - make_interval(secs => %(kept_seconds)s) AND o.id <= coalesce(s.sent_to, o.id))
), deleted AS (
    DELETE FROM worker_events WHERE id = ANY (ARRAY(SELECT id FROM doomed)) RETURNING id
), noted AS (
    INSERT INTO worker_event_settings AS s (expired_to) SELECT max(id) FROM deleted HAVING count(*) > 0
    ON CONFLICT (singleton) DO UPDATE SET expired_to = greatest(s.expired_to, excluded.expired_to)
)
SELECT (SELECT count(*) FROM deleted) AS deleted, (SELECT count(*) FROM doomed WHERE is_unsent) AS unsent
