-- Registrations of one name take turns; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('ampd.registration:' || %(node_id)s, 0))
