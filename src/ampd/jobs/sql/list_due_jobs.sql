-- The first due jobs that fit one of the free workers, in the order of their placement: priority, then time, then id. The jobs of one priority
-- and one selector stand in one lane. Of a lane only the first jobs are read, in the order of their times; of one that fits no free worker
-- none: jobs of the future, and those bound to a worker that is away, hold nobody up.
WITH RECURSIVE lane (priority, selector) AS (
    (SELECT priority, coalesce(worker_selector, '') FROM jobs
     WHERE state = 'SCHEDULED' AND worker_id IS NULL AND dependencies_met
     ORDER BY priority DESC, coalesce(worker_selector, '') DESC
     LIMIT 1)
    UNION ALL
    SELECT below.priority, below.selector
    FROM lane
    CROSS JOIN LATERAL (
        SELECT j.priority, coalesce(j.worker_selector, '') AS selector FROM jobs j
        WHERE j.state = 'SCHEDULED' AND j.worker_id IS NULL AND j.dependencies_met
          AND (j.priority, coalesce(j.worker_selector, '')) < (lane.priority, lane.selector)
        ORDER BY j.priority DESC, coalesce(j.worker_selector, '') DESC
        LIMIT 1
    ) below
)
SELECT due.id, due.worker_selector
FROM lane
CROSS JOIN LATERAL (
    SELECT j.id, j.worker_selector, j.run_at
    FROM jobs j
    WHERE j.state = 'SCHEDULED' AND j.worker_id IS NULL AND j.dependencies_met
      AND j.priority = lane.priority AND coalesce(j.worker_selector, '') = lane.selector AND j.run_at <= statement_timestamp()
    ORDER BY j.run_at, j.id
    LIMIT %(limit)s
) due
WHERE lane.selector = '' OR lane.selector = ANY (%(free_node_ids)s::text[])
   OR (right(lane.selector, 1) = '*' AND EXISTS (
       SELECT FROM unnest(%(free_node_ids)s::text[]) AS free (node_id) WHERE starts_with(free.node_id, left(lane.selector, -1))))
ORDER BY lane.priority DESC, due.run_at, due.id
LIMIT %(limit)s
