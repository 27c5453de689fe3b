-- The first due jobs that fit one of the free workers, in the order of their placement: priority, then time, then id. Jobs of one priority are
-- read in the order of their times, so that those of the future are never looked at.
WITH RECURSIVE level (priority) AS (
    SELECT max(priority) FROM jobs WHERE state = 'SCHEDULED' AND worker_id IS NULL AND dependencies_met
    UNION ALL
    SELECT (SELECT max(j.priority) FROM jobs j
            WHERE j.state = 'SCHEDULED' AND j.worker_id IS NULL AND j.dependencies_met AND j.priority < level.priority)
    FROM level
    WHERE level.priority IS NOT NULL
)
SELECT due.id, due.worker_selector
FROM level
CROSS JOIN LATERAL (
    SELECT j.id, j.worker_selector, j.run_at
    FROM jobs j
    WHERE j.state = 'SCHEDULED' AND j.worker_id IS NULL AND j.dependencies_met
      AND j.priority = level.priority AND j.run_at <= statement_timestamp()
      AND (j.worker_selector IS NULL OR EXISTS (
          SELECT FROM unnest(%(free_node_ids)s::text[]) AS free (node_id)
          WHERE free.node_id = j.worker_selector
             OR (right(j.worker_selector, 1) = '*' AND starts_with(free.node_id, left(j.worker_selector, -1)))))
    ORDER BY j.run_at, j.id
    LIMIT %(limit)s
) due
ORDER BY level.priority DESC, due.run_at, due.id
LIMIT %(limit)s
