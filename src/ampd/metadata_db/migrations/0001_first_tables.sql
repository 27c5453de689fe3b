-- depends:

-- Workers. The beat lives apart in a narrow table without an index on it: every beat is then a heap-only update
-- (design section 6).
CREATE TABLE workers (
    node_id       text PRIMARY KEY CHECK (node_id ~ '^[a-zA-Z][a-zA-Z0-9_.-]*$'),
    incarnation   uuid NOT NULL,
    info          jsonb NOT NULL DEFAULT '{}',
    slots         integer NOT NULL CHECK (slots > 0),
    draining      boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    registered_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE worker_heartbeats (
    node_id      text PRIMARY KEY REFERENCES workers ON DELETE CASCADE,
    incarnation  uuid NOT NULL,
    heartbeat_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Jobs. `input` is what the handler of `kind` needs; the engine never looks into it.
CREATE TABLE jobs (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind               text NOT NULL,
    idempotency_key    text UNIQUE,
    state              text NOT NULL CHECK (state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING', 'PAUSED',
                                                      'COMPLETED', 'STOPPED', 'FAILED')),
    input              jsonb NOT NULL,
    labels             jsonb NOT NULL DEFAULT '{}',
    worker_selector    text,
    priority           integer NOT NULL DEFAULT 0,
    run_at             timestamptz NOT NULL DEFAULT now(),
    retries            integer CHECK (retries >= 0), -- NULL: no limit
    retry_count        integer NOT NULL DEFAULT 0,
    lost_worker_count  integer NOT NULL DEFAULT 0,
    last_error         jsonb,
    execution_number   integer NOT NULL DEFAULT 1,
    worker_id          text REFERENCES workers,
    worker_incarnation uuid,
    lease_epoch        bigint NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX jobs_due ON jobs (priority DESC, run_at, id) WHERE state = 'SCHEDULED' AND worker_id IS NULL;
CREATE INDEX jobs_of_worker ON jobs (worker_id) WHERE state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING');
CREATE INDEX jobs_active ON jobs (id) WHERE state IN ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING', 'PAUSED');
CREATE INDEX jobs_terminal ON jobs (id) WHERE state IN ('COMPLETED', 'STOPPED', 'FAILED');
CREATE INDEX jobs_of_dataset ON jobs ((input ->> 'dataset_namespace'), (input ->> 'dataset_name'),
                                      (input ->> 'manifest_hash'), id) WHERE kind = 'extraction';

CREATE TABLE job_executions (
    job_id      bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    number      integer NOT NULL,
    input       jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    outcome     text CHECK (outcome IN ('COMPLETED', 'STOPPED', 'FAILED')),
    error       jsonb,
    PRIMARY KEY (job_id, number)
);

CREATE TABLE job_attempts (
    job_id             bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    lease_epoch        bigint NOT NULL,
    execution_number   integer NOT NULL,
    worker_id          text NOT NULL,
    worker_incarnation uuid NOT NULL,
    assigned_at        timestamptz NOT NULL DEFAULT now(),
    started_at         timestamptz,
    finished_at        timestamptz,
    outcome            text CHECK (outcome IN ('COMPLETED', 'STOPPED', 'FAILED', 'RETRYING', 'HANDED_BACK', 'LOST')),
    error              jsonb,
    PRIMARY KEY (job_id, lease_epoch)
);

-- What the handler reports while it runs, apart from `jobs`: it changes often.
CREATE TABLE job_progress (
    job_id     bigint PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    data       jsonb NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Append-only. No foreign key: the history of a job outlives the job (design section 4.6).
CREATE TABLE job_events (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id           bigint NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    actor            text NOT NULL,
    event_type       text NOT NULL, -- the state that was entered
    from_state       text,
    node_id          text,
    execution_number integer NOT NULL,
    lease_epoch      bigint NOT NULL,
    detail           jsonb
);
CREATE INDEX job_events_of_job ON job_events (job_id, id);

-- Datasets: a manifest is immutable and known by its hash; tags point at hashes.
CREATE TABLE manifests (
    hash       text PRIMARY KEY CHECK (hash ~ '^[0-9a-f]{64}$'),
    kind       text NOT NULL,
    path       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE datasets (
    namespace  text NOT NULL CHECK (namespace ~ '^[a-z0-9_]+$'),
    name       text NOT NULL CHECK (name ~ '^[a-z_][a-z0-9_]*$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, name)
);

CREATE TABLE dataset_manifests (
    namespace  text NOT NULL,
    name       text NOT NULL,
    hash       text NOT NULL REFERENCES manifests,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, name, hash),
    FOREIGN KEY (namespace, name) REFERENCES datasets ON DELETE CASCADE
);
CREATE INDEX dataset_manifests_of_hash ON dataset_manifests (hash);

CREATE TABLE tags (
    namespace  text NOT NULL,
    name       text NOT NULL,
    version    text NOT NULL, -- a semantic version, 'latest' or 'dev'
    hash       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, name, version),
    FOREIGN KEY (namespace, name, hash) REFERENCES dataset_manifests ON DELETE CASCADE
);

-- The lake: a table of a dataset has revisions (directories); a file counts only by its row here.
CREATE TABLE physical_tables (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_namespace  text NOT NULL,
    dataset_name       text NOT NULL,
    manifest_hash      text NOT NULL REFERENCES manifests,
    table_name         text NOT NULL,
    active_revision_id bigint,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (dataset_namespace, dataset_name, manifest_hash, table_name)
);

CREATE TABLE table_revisions (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path          text NOT NULL UNIQUE, -- below data_dir: namespace/dataset/table/uuidv7
    writer_job_id bigint REFERENCES jobs ON DELETE SET NULL,
    metadata      jsonb NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE physical_tables ADD FOREIGN KEY (active_revision_id) REFERENCES table_revisions ON DELETE SET NULL;
CREATE INDEX table_revisions_of_job ON table_revisions (writer_job_id);

CREATE TABLE files (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision_id       bigint NOT NULL REFERENCES table_revisions ON DELETE CASCADE,
    file_name         text NOT NULL,
    start_block       bigint NOT NULL CHECK (start_block >= 0),
    end_block         bigint NOT NULL CHECK (end_block >= start_block),
    start_parent_hash bytea NOT NULL CHECK (octet_length(start_parent_hash) = 32),
    end_hash          bytea NOT NULL CHECK (octet_length(end_hash) = 32),
    row_count         bigint NOT NULL CHECK (row_count >= 0),
    object_size       bigint NOT NULL CHECK (object_size > 0),
    object_e_tag      text,
    object_version    text,
    metadata          jsonb NOT NULL, -- the footer's description of the segment
    created_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (revision_id, file_name)
);
CREATE INDEX files_of_revision ON files (revision_id, start_block, end_block);
