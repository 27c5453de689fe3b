-- Another one may send at once.
UPDATE worker_event_sender SET leased_until = now() - interval '1 millisecond' WHERE holder = %(holder)s AND epoch = %(epoch)s
