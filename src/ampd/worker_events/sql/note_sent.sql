-- All up to an event was taken by the broker; nothing changes when the right to send is another's by now.
UPDATE worker_event_sender SET sent_to = greatest(sent_to, %(sent_to)s), leased_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE holder = %(holder)s AND epoch = %(epoch)s
RETURNING sent_to
