-- What keeps a SCHEDULED job `j` from being given to a worker: branches of a CASE, put in place of `waits_for_time`.
WHEN NOT j.dependencies_met THEN 'dependency'
WHEN j.rests THEN 'run_at'
WHEN j.run_at > now() AND j.retry_count > 0 THEN 'retry'
WHEN j.run_at > now() THEN 'run_at'
WHEN j.worker_id IS NOT NULL THEN 'start'
