-- Placements take turns; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('ampd.placement', 0))
