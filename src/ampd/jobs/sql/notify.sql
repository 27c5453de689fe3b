-- A hint to a worker, delivered when the transaction commits.
SELECT pg_notify('job_actions', %(payload)s)
