-- What jobs that a worker has just begun should do, and which attempt of which execution that is. The attempts of an execution have higher
-- epochs than those before it: only they are read.
SELECT j.id, j.kind, j.input, j.execution_number,
       (SELECT count(*) FROM job_attempts a
        WHERE a.job_id = j.id AND a.lease_epoch > coalesce(e.from_epoch, 0) AND a.started_at IS NOT NULL)::integer AS attempt
FROM jobs j
LEFT JOIN job_executions e ON e.job_id = j.id AND e.number = j.execution_number
WHERE j.id = ANY (%(job_ids)b::bigint[])
