-- depends: 0013_counted_jobs 0015_worker_events
-- phase: pre

-- What happened in each minute (docs/decisions/0033): charts over days read these rows, not the jobs and files. One controller at a time writes them,
-- for the whole cluster (namespace '*', which no namespace is called), and for each namespace in which something happened. A minute without
-- the row of the whole cluster was not counted: nobody was there to do it.

-- Of jobs. The namespace is empty for jobs of no dataset.
CREATE TABLE job_minutes (
    at        timestamptz NOT NULL, -- where the minute begins
    namespace text NOT NULL,
    retries   bigint NOT NULL, -- attempts that ended to be tried again
    failures  bigint NOT NULL, -- executions that ended as FAILED
    durations jsonb NOT NULL DEFAULT '{}', -- of executions that completed or failed: {step: how many}, a step is an eighth of a doubling of 1 s
    PRIMARY KEY (at, namespace)
);

-- Of the lake: what came to count.
CREATE TABLE lake_minutes (
    at        timestamptz NOT NULL,
    namespace text NOT NULL,
    blocks    bigint NOT NULL, -- of each dataset those that all of its tables got
    row_count bigint NOT NULL,
    bytes     bigint NOT NULL,
    PRIMARY KEY (at, namespace)
);

-- How many blocks the table that lags most was behind, when somebody looked in that minute. Past lags stand nowhere
-- else. There is no row when no table has a lag that is known.
CREATE TABLE lag_minutes (
    at         timestamptz NOT NULL,
    namespace  text NOT NULL,
    lag_blocks bigint NOT NULL,
    PRIMARY KEY (at, namespace)
);
