-- depends: 0005_jobs_of_dataset

ALTER TABLE jobs
    ADD COLUMN result jsonb, -- what the last execution that has ended gave
    ADD COLUMN request_hash text; -- of the request that created the job: another one with the same idempotency key is refused
ALTER TABLE job_executions ADD COLUMN result jsonb;

-- What stands hidden in the input of a job. Only workers read it: whatever else shows an input has nothing to hide.
CREATE TABLE job_secrets (
    job_id  bigint PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    secrets jsonb NOT NULL -- a list of [path, value]
);

-- What a handler wants to find again when its execution goes on elsewhere.
CREATE TABLE job_checkpoints (
    job_id           bigint PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    execution_number integer NOT NULL, -- another execution begins anew
    data             jsonb NOT NULL,
    updated_at       timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- A worker gets jobs of its own kinds only: each kind has lanes of its own in list_due_jobs.sql.
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (priority, coalesce(worker_selector, ''), kind, run_at, id)
    WHERE state = 'SCHEDULED' AND worker_id IS NULL AND dependencies_met;

-- The jobs of a dataset are those that compact it, too. The condition is that of ampd.jobs.job_filter.
DROP INDEX jobs_of_dataset;
CREATE INDEX jobs_of_dataset ON jobs ((input ->> 'dataset_namespace'), (input ->> 'dataset_name'),
                                      (input ->> 'manifest_hash'), id) WHERE kind IN ('extraction', 'verification', 'compaction');
