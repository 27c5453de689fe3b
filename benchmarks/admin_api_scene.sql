-- 100,000 jobs with their histories: executed by admin_api_scene.py, statement by statement. What a job is follows from its number n; its id is n + 1.

CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT n, extracts, state, is_held, worker, w.incarnation,
       now() - make_interval(secs => (%(jobs)s - n) * 17.28) AS made_at, -- over twenty days
       CASE WHEN state = 'FAILED' OR n %% 10 = 3 THEN 3 ELSE 0 END AS retries
FROM (
    SELECT n, n %% 2 = 0 AS extracts,
           CASE
               WHEN n <= %(ended)s AND n %% 50 = 7 THEN 'FAILED'
               WHEN n <= %(ended)s AND n %% 100 = 32 THEN 'STOPPED'
               WHEN n <= %(ended)s THEN 'COMPLETED'
               WHEN n <= %(held)s THEN CASE n %% 20 WHEN 0 THEN 'STOP_REQUESTED' WHEN 10 THEN 'STOPPING' ELSE 'RUNNING' END
               WHEN n <= %(paused)s THEN 'PAUSED'
               ELSE 'SCHEDULED'
           END AS state,
           n > %(ended)s AND n <= %(held)s AS is_held,
           'worker-' || n %% %(workers)s AS worker
    FROM generate_series(1, %(jobs)s) AS n
) AS job
JOIN workers w ON w.node_id = worker;

INSERT INTO jobs (id, kind, idempotency_key, state, input, labels, priority, run_at, retries, total_retries, last_error,
                  worker_id, worker_incarnation, lease_epoch, created_at, updated_at, stop_deadline, stop_intent,
                  started_at, ended_at, schedule, recurring, rests, next_run_at, execution_number, execution_count)
OVERRIDING SYSTEM VALUE
SELECT
    n + 1, CASE WHEN extracts THEN 'extraction' WHEN n %% 5 = 1 THEN 'http' ELSE 'benchmark.noop' END,
    CASE WHEN extracts THEN md5('a' || n) || md5('b' || n) END,
    state,
    CASE WHEN extracts THEN jsonb_build_object(
            'kind', 'materialize-raw', 'end_block', '18000000', 'max_writers', 4, 'verify', 'sample',
            'dataset_namespace', 'team_' || n / 2 %% 10, 'dataset_name', 'chain_' || n / 20 %% 500,
            'manifest_hash', md5('c' || n) || md5('d' || n))
        ELSE '{"url": "http://127.0.0.1:9/", "payload": {"user_id": 123, "template": "welcome"}}'
    END,
    jsonb_build_object('team', 't' || n %% 40, 'ticket', 'T-' || n %% 5000, 'env', (ARRAY['prod', 'stage', 'test'])[n %% 3 + 1])
        || CASE WHEN extracts THEN '{"dataset_version": "1.0.0"}' ELSE '{}' END::jsonb
        || CASE WHEN n %% 10 = 0 THEN jsonb_build_object('product', 'p' || n / 10 %% 7) ELSE '{}' END,
    n %% 3, CASE WHEN n > %(recurring)s THEN now() + make_interval(hours => 1 + n %% 50) ELSE coalesce(next_run_at, made_at) END,
    3, retries, CASE WHEN state = 'FAILED' THEN '{"error_code": "INTERNAL_ERROR", "error_message": "no"}'::jsonb END,
    CASE WHEN n <= %(held)s THEN worker END, CASE WHEN is_held THEN incarnation END, CASE WHEN n <= %(held)s THEN 1 ELSE 0 END,
    made_at, made_at + interval '1 minute',
    CASE WHEN state IN ('STOP_REQUESTED', 'STOPPING') THEN now() + interval '1 day' END,
    CASE WHEN state IN ('STOP_REQUESTED', 'STOPPING') THEN 'STOP' END,
    CASE WHEN n <= %(held)s THEN made_at END, CASE WHEN n <= %(ended)s THEN made_at + interval '1 minute' END,
    CASE WHEN next_run_at IS NOT NULL THEN jsonb_build_object('every_ms', 3600000, 'anchor', next_run_at) END,
    next_run_at IS NOT NULL, next_run_at IS NOT NULL, next_run_at,
    CASE WHEN next_run_at IS NULL THEN 1 ELSE 0 END, CASE WHEN next_run_at IS NOT NULL THEN 0 END
FROM made
CROSS JOIN LATERAL (
    SELECT CASE WHEN n > %(due)s AND n <= %(recurring)s THEN now() + make_interval(secs => 3.6 * (n - %(due)s)) END AS next_run_at
) AS timetable;

INSERT INTO job_executions (job_id, number, input, created_at, finished_at, outcome)
SELECT j.id, 1, j.input, j.created_at, j.ended_at, CASE WHEN j.ended_at IS NOT NULL THEN j.state END
FROM jobs j JOIN made ON made.n + 1 = j.id WHERE NOT j.recurring;

INSERT INTO job_attempts (job_id, lease_epoch, execution_number, worker_id, worker_incarnation, assigned_at, started_at,
                          finished_at, outcome)
SELECT j.id, 1, 1, j.worker_id, made.incarnation, j.created_at, j.created_at, j.ended_at,
       CASE WHEN j.ended_at IS NOT NULL THEN j.state END
FROM jobs j JOIN made ON made.n + 1 = j.id WHERE j.worker_id IS NOT NULL;

-- Each retry is two more; what is held has run for days, and tells it.
INSERT INTO job_events (job_id, created_at, actor, event_type, from_state, node_id, execution_number, lease_epoch, detail)
SELECT n + 1, made_at + make_interval(secs => k), worker,
       CASE WHEN k = 1 THEN 'SCHEDULED' WHEN k = last AND n <= %(ended)s THEN state WHEN k %% 2 = 0 THEN 'RUNNING' ELSE 'SCHEDULED' END,
       CASE WHEN k > 1 THEN CASE k %% 2 WHEN 0 THEN 'SCHEDULED' ELSE 'RUNNING' END END, CASE WHEN k > 1 THEN worker END, 1, k / 2,
       CASE WHEN k %% 2 = 1 AND k > 1 AND k < last THEN '{"error_code": "INTERNAL_ERROR", "error_message": "no"}'::jsonb END
FROM (
    SELECT *, CASE WHEN n <= %(ended)s THEN 3 + 2 * retries WHEN is_held THEN 100 ELSE 1 END AS last FROM made
) AS job
CROSS JOIN LATERAL generate_series(1, last) AS k;

SELECT setval(pg_get_serial_sequence('jobs', 'id'), max(id)) FROM jobs;
