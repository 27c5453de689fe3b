-- Whoever removes old deliveries does so alone; the others let it.
SELECT pg_try_advisory_xact_lock(hashtextextended('ampd.webhooks.log', 0)) AS taken
