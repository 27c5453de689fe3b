-- depends: 0005_jobs_of_dataset

ALTER TABLE jobs
    ADD COLUMN recurring boolean NOT NULL DEFAULT false, -- it has a timetable: its executions end, it goes on
    -- While a stop is under way: what becomes of the job then. STOPPED, PAUSED, or it goes on.
    ADD COLUMN stop_intent text CHECK (stop_intent IN ('STOP', 'PAUSE', 'NEXT')),
    ADD COLUMN stop_reason text, -- of a stop or a pause, as the operator gave it; while it lasts
    ADD COLUMN retries_before integer NOT NULL DEFAULT 0, -- of retry_count: those before an operator's retry; they limit nothing
    ADD COLUMN total_retries integer NOT NULL DEFAULT 0, -- since the last deploy; successes on the way do not reset them
    ADD COLUMN started_at timestamptz, -- of this execution: when its first attempt began
    ADD COLUMN ended_at timestamptz; -- while the job has ended: when it did

-- The attempts of an execution have higher epochs than this one: they are found without reading those of the executions before.
ALTER TABLE job_executions ADD COLUMN from_epoch bigint NOT NULL DEFAULT 0;

UPDATE job_executions e
SET from_epoch = coalesce((SELECT max(a.lease_epoch) FROM job_attempts a WHERE a.job_id = e.job_id AND a.execution_number < e.number), 0)
WHERE e.number > 1;

UPDATE jobs j
SET stop_intent = CASE WHEN j.state IN ('STOP_REQUESTED', 'STOPPING') THEN 'STOP' END,
    total_retries = j.retry_count,
    started_at = (SELECT min(a.started_at) FROM job_attempts a WHERE a.job_id = j.id AND a.execution_number = j.execution_number),
    ended_at = (SELECT e.finished_at FROM job_executions e WHERE e.job_id = j.id AND e.number = j.execution_number);

ALTER TABLE job_attempts DROP CONSTRAINT job_attempts_outcome_check;
ALTER TABLE job_attempts ADD CONSTRAINT job_attempts_outcome_check
    CHECK (outcome IN ('COMPLETED', 'STOPPED', 'FAILED', 'PAUSED', 'RETRYING', 'HANDED_BACK', 'LOST'));

-- Both hold few jobs where most have neither: their entries cost the transitions of other jobs nothing.
CREATE INDEX jobs_recurring ON jobs (id) WHERE recurring;
CREATE INDEX jobs_of_product ON jobs ((labels ->> 'product'), id) WHERE (labels ->> 'product') IS NOT NULL;
