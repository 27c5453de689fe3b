-- What became of attempts and executions in one minute, by namespace. Events are found by their ids, from behind one that is so old that whatever has a
-- smaller id began before the minute: a transaction ends within half a minute. Only the events of about the last minutes are read.
WITH came AS (
    SELECT e.job_id, e.execution_number, e.lease_epoch, e.created_at, e.event_type, e.detail
    FROM job_events e
    WHERE e.id > coalesce((SELECT before.id FROM job_events before
                           WHERE before.created_at < %(at)s - make_interval(secs => %(late_seconds)s) ORDER BY before.id DESC LIMIT 1), 0)
      AND e.created_at >= %(at)s AND e.created_at < %(at)s + interval '1 minute'
      AND e.from_state = ANY (%(held_states)s) AND NOT e.event_type = ANY (%(held_states)s)
), ended AS (
    SELECT coalesce(namespace_of_job(j.kind, j.input), '') AS namespace,
           coalesce(a.outcome = 'RETRYING', false) AS is_retry,
           -- As webhooks tell it: also of a job that is gone by now.
           came.event_type = 'FAILED' OR coalesce(came.detail ->> 'execution_outcome' = 'FAILED', false) AS is_failure,
           extract(epoch FROM e.finished_at - begun.started_at)::float8 AS seconds
    FROM came
    LEFT JOIN jobs j ON j.id = came.job_id
    -- What an event ends has its time: it is written in the same transaction.
    LEFT JOIN job_attempts a ON a.job_id = came.job_id AND a.lease_epoch = came.lease_epoch AND a.finished_at = came.created_at
    LEFT JOIN job_executions e ON e.job_id = came.job_id AND e.number = came.execution_number AND e.finished_at = came.created_at
                              AND e.outcome IN ('COMPLETED', 'FAILED')
    LEFT JOIN LATERAL (
        SELECT first.started_at FROM job_attempts first
        WHERE first.job_id = e.job_id AND first.lease_epoch > e.from_epoch AND first.started_at IS NOT NULL
        ORDER BY first.lease_epoch LIMIT 1
    ) begun ON true
)
SELECT namespace, count(*) FILTER (WHERE is_retry) AS retries, count(*) FILTER (WHERE is_failure) AS failures,
       CASE WHEN seconds IS NOT NULL THEN floor(8 * log(2, greatest(seconds, 0.001)::numeric))::integer END AS step, count(*) AS ended
FROM ended
GROUP BY namespace, step
