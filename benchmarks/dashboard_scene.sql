-- What dashboard_scene.py adds to the scene, statement by statement. Workers beside the eleven of the scene.
INSERT INTO workers (node_id, incarnation, slots, info, registered_at)
SELECT 'fleet-' || n, gen_random_uuid(), 4, '{"version": "0.1.0", "kinds": ["extraction"]}', now() - make_interval(mins => n)
FROM generate_series(1, %(workers)s) n;

INSERT INTO worker_heartbeats SELECT node_id, incarnation, now() FROM workers WHERE node_id LIKE 'fleet-%%';

-- What has failed did so today.
UPDATE job_executions
SET finished_at = now() - make_interval(secs => job_id %% 80000), error = '{"error_code": "NODE_UNREACHABLE", "error_message": "no"}'
WHERE outcome = 'FAILED';

-- Eight days of charts. What the controller has counted stays.
INSERT INTO job_minutes
SELECT date_trunc('minute', now()) - make_interval(mins => n), namespace, n %% 3, n %% 2, '{"8": 3, "16": 5, "40": 1}'
FROM generate_series(3, 11500) n, unnest(ARRAY['*', 'ethereum', 'team_1', 'team_2', 'team_3', '']) namespace
ON CONFLICT DO NOTHING;

INSERT INTO lake_minutes
SELECT date_trunc('minute', now()) - make_interval(mins => n), namespace, 6000 + n %% 1000, 60000, 6000000
FROM generate_series(3, 11500) n, unnest(ARRAY['*', 'ethereum']) namespace
ON CONFLICT DO NOTHING;

INSERT INTO lag_minutes
SELECT date_trunc('minute', now()) - make_interval(mins => n), namespace, n %% 100
FROM generate_series(3, 11500) n, unnest(ARRAY['*', 'ethereum']) namespace
ON CONFLICT DO NOTHING;

INSERT INTO webhook_deliveries (webhook_id, job_id, event_id, sequence, event, occurred_at, job, status, attempts, last_attempt_at,
                                duration_ms, response_status, finished_at)
SELECT w.id, n %% 8000 + 2, n, 2 * n, 'job.completed', now() - make_interval(secs => %(deliveries)s - n), 
       jsonb_build_object('id', n %% 8000 + 2, 'kind', 'http', 'product', NULL, 'env', 'prod', 'dataset_namespace', NULL, 'dataset_name', NULL,
                          'run_at_ms', 1772618400000, 'execution_count', 1, 'error', NULL, 'reason', NULL),
       'DELIVERED', 1, now(), 12, 200, now()
FROM generate_series(1, %(deliveries)s) n
JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM webhooks) w ON w.place = n %% %(webhooks)s + 1;
