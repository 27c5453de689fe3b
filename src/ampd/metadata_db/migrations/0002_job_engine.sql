-- depends: 0001_first_tables

-- Workers: an operator may keep work away from one, also over its restarts.
ALTER TABLE workers ADD COLUMN cordoned boolean NOT NULL DEFAULT false;

ALTER TABLE jobs
    ADD COLUMN retry_policy jsonb NOT NULL DEFAULT '{}', -- what differs from the default policy
    ADD COLUMN dependencies_met boolean NOT NULL DEFAULT true, -- of this execution; once true it stays so
    ADD COLUMN stop_deadline timestamptz; -- while a stop is under way: when it is forced

-- What a job waits for before an execution: another job by its id, or whatever job has a key.
CREATE TABLE job_dependencies (
    job_id         bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    reference      text NOT NULL, -- as the operator wrote it
    depends_on_id  bigint, -- no foreign key: a job that was deleted is shown as missing
    depends_on_key text,
    PRIMARY KEY (job_id, reference),
    CHECK (num_nonnulls(depends_on_id, depends_on_key) = 1)
);
CREATE INDEX job_dependencies_on_id ON job_dependencies (depends_on_id) WHERE depends_on_id IS NOT NULL;
CREATE INDEX job_dependencies_on_key ON job_dependencies (depends_on_key) WHERE depends_on_key IS NOT NULL;

-- Every transition writes an entry into each index of `jobs`: there are few, and most of them hold few rows.
ALTER TABLE jobs DROP CONSTRAINT jobs_idempotency_key_key;
CREATE UNIQUE INDEX jobs_of_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
DROP INDEX jobs_active, jobs_terminal, jobs_due, jobs_of_worker;
CREATE INDEX jobs_of_state ON jobs (state, id);
CREATE INDEX jobs_of_worker ON jobs (worker_id) WHERE worker_incarnation IS NOT NULL; -- those that a worker has at the moment
CREATE INDEX jobs_due ON jobs (priority, coalesce(worker_selector, ''), run_at, id) -- the lanes of list_due_jobs.sql
    WHERE state = 'SCHEDULED' AND worker_id IS NULL AND dependencies_met;
CREATE INDEX jobs_waiting_for_jobs ON jobs (id) WHERE state = 'SCHEDULED' AND NOT dependencies_met;
CREATE INDEX jobs_stopping ON jobs (stop_deadline) WHERE stop_deadline IS NOT NULL;
-- These two checks cost as much as the assignment that they check. Workers are never deleted; an attempt is written under the lock of its
-- job, and the statements that delete jobs delete their attempts.
ALTER TABLE jobs DROP CONSTRAINT jobs_worker_id_fkey;
ALTER TABLE job_attempts DROP CONSTRAINT job_attempts_job_id_fkey;

-- Tables whose rows change often are swept early, before scans of their dead rows cost anything.
ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE job_attempts SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE job_progress SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE worker_heartbeats SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
