-- One process at a time removes what is too old; another one has nothing to do then. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('ampd.retention', 0)) AS taken
