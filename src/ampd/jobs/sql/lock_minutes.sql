-- One process at a time counts the minutes of jobs; another one has nothing to do then. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('ampd.job_minutes', 0)) AS taken
