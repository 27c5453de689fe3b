-- What the handler of a job said last of its progress in this execution.
SELECT data FROM job_progress WHERE job_id = %(job_id)s
