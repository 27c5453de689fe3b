-- What a job should do, for the worker that has started it.
SELECT kind, input, retries, retry_count FROM jobs WHERE id = %(job_id)s
