-- What executions gave that complete in this transaction. Their jobs are locked by it.
WITH given AS (
    SELECT * FROM unnest(%(job_ids)s::bigint[], %(results)s::jsonb[]) AS given (job_id, result)
), job AS (
    UPDATE jobs SET result = given.result FROM given
    WHERE jobs.id = given.job_id AND jobs.id = ANY (%(job_ids)s::bigint[])
    RETURNING jobs.id, jobs.execution_number, jobs.result
)
UPDATE job_executions e SET result = job.result FROM job WHERE e.job_id = job.id AND e.number = job.execution_number
