-- What jobs should do, and how they are tried again, for the worker that has them.
SELECT id, kind, input, retries, retry_count, retries_before, retry_policy FROM jobs WHERE id = ANY (%(job_ids)s::bigint[])
