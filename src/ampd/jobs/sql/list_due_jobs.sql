-- The first due jobs that fit one of the free workers, in the order of their placement: priority, then time, then id. The jobs of one
-- priority, one selector and one kind stand in one lane. Of a lane only the first jobs are read, in the order of their times; of one that fits
-- no free worker none: jobs of the future, those bound to a worker that is away, and those that no worker can run hold nobody up. A free
-- worker is given once for each of its kinds; NULL is any kind.
WITH RECURSIVE lane (priority, selector, kind) AS (
    (SELECT priority, coalesce(worker_selector, ''), kind FROM jobs
     WHERE state = 'SCHEDULED' AND worker_id IS NULL AND dependencies_met
     ORDER BY priority DESC, coalesce(worker_selector, '') DESC, kind DESC
     LIMIT 1)
    UNION ALL
    SELECT below.priority, below.selector, below.kind
    FROM lane
    CROSS JOIN LATERAL (
        SELECT j.priority, coalesce(j.worker_selector, '') AS selector, j.kind FROM jobs j
        WHERE j.state = 'SCHEDULED' AND j.worker_id IS NULL AND j.dependencies_met
          AND (j.priority, coalesce(j.worker_selector, ''), j.kind) < (lane.priority, lane.selector, lane.kind)
        ORDER BY j.priority DESC, coalesce(j.worker_selector, '') DESC, j.kind DESC
        LIMIT 1
    ) below
)
SELECT due.id, due.worker_selector AS selector, lane.kind
FROM lane
CROSS JOIN LATERAL (
    SELECT j.id, j.worker_selector, j.run_at
    FROM jobs j
    WHERE j.state = 'SCHEDULED' AND j.worker_id IS NULL AND j.dependencies_met
      AND j.priority = lane.priority AND coalesce(j.worker_selector, '') = lane.selector AND j.kind = lane.kind
      AND j.run_at <= statement_timestamp() AND NOT j.rests -- what a timetable has not fired yet
    ORDER BY j.run_at, j.id
    LIMIT %(limit)s
) due
WHERE EXISTS (
    SELECT FROM unnest(%(free_node_ids)s::text[], %(free_kinds)s::text[]) AS free (node_id, kind)
    WHERE (free.kind IS NULL OR free.kind = lane.kind)
      AND (lane.selector = '' OR free.node_id = lane.selector
           OR (right(lane.selector, 1) = '*' AND starts_with(free.node_id, left(lane.selector, -1)))))
ORDER BY lane.priority DESC, due.run_at, due.id
LIMIT %(limit)s
