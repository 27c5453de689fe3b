-- The newest executions of a job that have begun or ended, each with its newest attempts. Attempts are found by the epochs of the executions:
-- those before are not read.
WITH page AS (
    SELECT e.*
    FROM job_executions e
    JOIN jobs j ON j.id = e.job_id
    WHERE e.job_id = %(job_id)s AND (e.number < j.execution_number OR e.finished_at IS NOT NULL OR j.started_at IS NOT NULL)
    ORDER BY e.number DESC
    LIMIT %(limit)s
), attempts AS (
    SELECT a.*, row_number() OVER (PARTITION BY a.execution_number ORDER BY a.lease_epoch) AS number,
           row_number() OVER (PARTITION BY a.execution_number ORDER BY a.lease_epoch DESC) AS age
    FROM job_attempts a
    WHERE a.job_id = %(job_id)s AND a.lease_epoch > (SELECT min(from_epoch) FROM page)
)
SELECT page.number, page.finished_at, page.outcome, page.error, page.result, of_page.started_at, of_page.count AS attempt_count,
       coalesce(of_page.newest, '[]') AS attempts
FROM page
CROSS JOIN LATERAL (
    SELECT min(a.started_at) AS started_at, count(*) AS count,
           jsonb_agg(jsonb_build_object('number', a.number, 'worker_id', a.worker_id, 'started_at', a.started_at,
                                        'finished_at', a.finished_at, 'outcome', a.outcome, 'error', a.error)
                     ORDER BY a.number DESC) FILTER (WHERE a.age <= %(most_attempts)s) AS newest
    FROM attempts a WHERE a.execution_number = page.number
) of_page
ORDER BY page.number DESC
