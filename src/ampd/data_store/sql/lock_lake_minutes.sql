-- One process at a time counts the minutes of the lake; another one has nothing to do then. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('ampd.lake_minutes', 0)) AS taken
