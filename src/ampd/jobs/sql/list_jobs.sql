-- One page of jobs, newest first; one row more than the page tells whether there is a next one.
SELECT j.*, j.run_at <= now() AS due,
    CASE
        WHEN j.state <> 'SCHEDULED' THEN NULL
        WHEN j.run_at > now() AND j.retry_count > 0 THEN 'retry'
        WHEN j.run_at > now() THEN 'run_at'
        WHEN j.worker_id IS NOT NULL THEN 'start'
        WHEN NOT EXISTS (
            SELECT FROM workers w
            JOIN worker_heartbeats h ON h.node_id = w.node_id AND h.incarnation = w.incarnation
            WHERE h.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s) AND NOT w.draining
              AND (j.worker_selector IS NULL OR w.node_id = j.worker_selector
                   OR (right(j.worker_selector, 1) = '*' AND starts_with(w.node_id, left(j.worker_selector, -1))))
        ) THEN 'worker'
        ELSE 'slot'
    END AS waiting_for
FROM jobs j
WHERE (%(id)s::bigint IS NULL OR j.id = %(id)s)
  AND (%(states)s::text[] IS NULL OR j.state = ANY (%(states)s))
  AND (%(before_id)s::bigint IS NULL OR j.id < %(before_id)s)
  AND (%(manifest_hash)s::text IS NULL
       OR (j.kind = 'extraction' AND j.input ->> 'dataset_namespace' = %(namespace)s
           AND j.input ->> 'dataset_name' = %(name)s AND j.input ->> 'manifest_hash' = %(manifest_hash)s))
ORDER BY j.id DESC
LIMIT %(limit)s
