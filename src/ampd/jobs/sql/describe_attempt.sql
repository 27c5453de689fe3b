-- What a handler is told of its attempt beside the job's input: no row when the lease is not the current one.
SELECT j.execution_number, j.labels, s.secrets, c.data AS checkpoint,
       (SELECT count(*) FROM job_attempts a
        WHERE a.job_id = j.id AND a.execution_number = j.execution_number AND a.started_at IS NOT NULL) AS attempt
FROM jobs j
LEFT JOIN job_secrets s ON s.job_id = j.id
LEFT JOIN job_checkpoints c ON c.job_id = j.id AND c.execution_number = j.execution_number
WHERE j.id = %(job_id)s AND j.lease_epoch = %(lease_epoch)s AND j.worker_incarnation = %(incarnation)s
  AND j.state = ANY (%(held_states)s)
