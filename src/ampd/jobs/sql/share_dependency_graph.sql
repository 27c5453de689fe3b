-- Completions go on beside each other, and never beside a deploy that names dependencies. Always taken before any row is locked.
SELECT pg_advisory_xact_lock_shared(hashtextextended('ampd.dependencies', 0))
