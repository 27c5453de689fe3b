-- What a job depends on.
SELECT reference FROM job_dependencies WHERE job_id = %(job_id)s
