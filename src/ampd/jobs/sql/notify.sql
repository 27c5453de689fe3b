-- A hint to whoever listens.
SELECT pg_notify('job_actions', %(payload)s)
