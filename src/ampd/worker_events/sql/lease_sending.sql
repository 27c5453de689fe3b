-- The right to send, for who has it or when nobody has: the first holder begins with the oldest event that is kept.
INSERT INTO worker_event_sender AS s (holder, leased_until)
VALUES (%(holder)s, now() + make_interval(secs => %(lease_seconds)s))
ON CONFLICT (singleton) DO UPDATE
SET holder = excluded.holder, leased_until = excluded.leased_until, epoch = s.epoch + CASE WHEN s.holder = excluded.holder THEN 0 ELSE 1 END
WHERE s.holder = excluded.holder OR s.leased_until < now()
RETURNING epoch, sent_to
