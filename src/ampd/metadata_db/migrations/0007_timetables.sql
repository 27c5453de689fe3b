-- depends: 0006_job_operations

-- What a job with a timetable keeps. Between two executions it is SCHEDULED and rests: no worker gets it.
ALTER TABLE jobs
    ADD COLUMN schedule jsonb, -- ampd.jobs.recurrence.Schedule; also of a job that runs once at a time
    ADD COLUMN next_run_at timestamptz, -- the first fire time that nobody has looked at yet; NULL: there is none any more
    ADD COLUMN rests boolean NOT NULL DEFAULT false, -- SCHEDULED or PAUSED, and no execution is under way
    ADD COLUMN execution_count integer, -- fire times that began an execution since the last deploy, `limit` is about them; NULL: it runs once
    ADD COLUMN queued_firings integer NOT NULL DEFAULT 0, -- fire times that wait for the end of an execution
    ADD COLUMN fires_after timestamptz; -- the job was resumed then: earlier fire times were paused, not missed

-- What has become of each fire time: its row is written in the transaction that advances next_run_at and makes the execution due, so a time
-- fires once, however many controllers look. Times that were missed have a row for each run of them.
CREATE TABLE job_firings (
    job_id           bigint NOT NULL, -- no foreign key: its check costs as much as the row, which is written under the lock of the job
    fire_time        timestamptz NOT NULL,
    outcome          text NOT NULL CHECK (outcome IN ('FIRED', 'QUEUED', 'SKIPPED', 'MISSED')),
    last_time        timestamptz NOT NULL, -- the last fire time that the row stands for,
    times            integer NOT NULL DEFAULT 1 CHECK (times > 0), -- and how many they are
    execution_number integer, -- the execution that it began
    fired_at         timestamptz, -- when that was made due,
    lateness_ms      integer, -- and how long after its time
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, fire_time)
);
CREATE INDEX job_firings_queued ON job_firings (job_id, fire_time) WHERE outcome = 'QUEUED';
CREATE INDEX job_firings_by_age ON job_firings (created_at);

-- They hold jobs with a timetable alone, the last two for moments.
CREATE INDEX jobs_to_fire ON jobs (next_run_at)
    WHERE recurring AND next_run_at IS NOT NULL AND queued_firings < 1000 AND state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING');
CREATE INDEX jobs_to_go_on ON jobs (id) WHERE rests AND state = 'SCHEDULED' AND queued_firings > 0;
CREATE INDEX jobs_exhausted ON jobs (id) WHERE rests AND state = 'SCHEDULED' AND next_run_at IS NULL;
