-- What jobs wait for that could be given to a worker: branches of a CASE, put in place of `waits_for_worker`. `live` are workers that take
-- work; of `j` there are `kind` and `worker_selector`.
WHEN NOT EXISTS (
    SELECT FROM live
    WHERE j.worker_selector IS NULL OR live.node_id = j.worker_selector
       OR (right(j.worker_selector, 1) = '*' AND starts_with(live.node_id, left(j.worker_selector, -1)))
) THEN 'worker'
WHEN NOT EXISTS (
    SELECT FROM live
    WHERE (j.worker_selector IS NULL OR live.node_id = j.worker_selector
           OR (right(j.worker_selector, 1) = '*' AND starts_with(live.node_id, left(j.worker_selector, -1))))
      AND (live.kinds IS NULL OR live.kinds ? j.kind)
) THEN 'handler'
ELSE 'slot'
