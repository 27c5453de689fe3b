-- What all backends have counted comes together in the rows of backend 0. Rows that a transaction is counting in are left for the next time: who
-- folds waits for nobody.
WITH taken AS (
    DELETE FROM job_counts
    WHERE (kind, dataset_namespace, state, backend) IN (
        SELECT kind, dataset_namespace, state, backend FROM job_counts WHERE backend <> 0 FOR UPDATE SKIP LOCKED)
    RETURNING *
)
INSERT INTO job_counts AS c
SELECT kind, dataset_namespace, state, 0, sum(jobs), sum(retried), sum(retries) FROM taken GROUP BY 1, 2, 3
ON CONFLICT (kind, dataset_namespace, state, backend) DO UPDATE
SET jobs = c.jobs + excluded.jobs, retried = c.retried + excluded.retried, retries = c.retries + excluded.retries
