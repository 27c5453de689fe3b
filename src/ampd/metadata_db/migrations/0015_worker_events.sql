-- depends: 0003_block_ranges 0006_job_operations

-- Worker events (docs/decisions/0029): what happens to the tables that extraction jobs write. Who waits for a commit of these rows waits for
-- the database alone: neither readers nor a broker are asked.

-- At most one row. Without it, or with `recorded` false, nothing is written.
CREATE TABLE worker_event_settings (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    recorded   boolean NOT NULL DEFAULT false,
    expired_to bigint NOT NULL DEFAULT 0 -- the highest id that was removed from the log
);

-- Tables that are being written: one row from the begin of an attempt to its end.
CREATE TABLE worker_event_syncs (
    job_id            bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    table_name        text NOT NULL,
    revision_id       bigint NOT NULL,
    dataset_namespace text NOT NULL,
    dataset_name      text NOT NULL,
    manifest_hash     text NOT NULL,
    worker_id         text NOT NULL,
    start_block       bigint NOT NULL,
    end_block         bigint,
    started_at        timestamptz NOT NULL DEFAULT now(),
    told_block        bigint NOT NULL, -- the last one of which was told
    told_at           timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (job_id, table_name)
) WITH (fillfactor = 50);

-- What was recorded in the transactions in which it happened. Of one table the ids ascend in the order of commits: each such transaction holds
-- the row of the job.
CREATE TABLE worker_event_outbox (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id          uuid NOT NULL,
    event_type        text NOT NULL CHECK (event_type IN ('sync.started', 'sync.progress', 'sync.completed', 'sync.failed')),
    created_at        timestamptz NOT NULL DEFAULT now(),
    worker_id         text NOT NULL,
    job_id            bigint NOT NULL,
    dataset_namespace text NOT NULL,
    dataset_name      text NOT NULL,
    manifest_hash     text NOT NULL,
    table_name        text NOT NULL,
    start_block       bigint,
    current_block     bigint,
    end_block         bigint,
    files_count       bigint,
    total_size_bytes  bigint,
    duration_ms       bigint,
    error_message     text,
    error_type        text
);

-- The log, for those who read and for the one who sends. One process at a time moves the outbox here, so that ids become visible in their
-- order: who has read up to an id has missed nothing before it.
CREATE TABLE worker_events (LIKE worker_event_outbox INCLUDING CONSTRAINTS);
ALTER TABLE worker_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE worker_events ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX worker_events_by_event_id ON worker_events (event_id);

-- Who sends the log to the broker, and how far that has come. At most one row.
CREATE TABLE worker_event_sender (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    holder       uuid NOT NULL,
    epoch        bigint NOT NULL DEFAULT 1, -- rises with each new holder
    leased_until timestamptz NOT NULL,
    sent_to      bigint NOT NULL DEFAULT 0 -- all up to this id was taken by the broker
) WITH (fillfactor = 50);

ALTER TABLE worker_event_syncs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE worker_event_outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- A UUID of version 7: milliseconds since 1970, then chance. PostgreSQL has its own only from 18 on.
CREATE FUNCTION worker_event_id(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $body$
    SELECT encode(
        set_bit(set_bit( -- version 4 becomes 7
            substr(int8send(floor(extract(epoch FROM at) * 1000)::bigint), 3) || substr(uuid_send(gen_random_uuid()), 7), 52, 1), 53, 1),
        'hex')::uuid
$body$;

-- The end of an attempt, in its own transaction: of each table that it has begun. What is neither completed nor failed tells nobody: another
-- attempt begins with an event of its own.
CREATE FUNCTION record_ends_of_syncs() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    WITH ended AS (
        DELETE FROM worker_event_syncs s USING came e
        WHERE s.job_id = e.job_id AND e.from_state IN ('RUNNING', 'STOP_REQUESTED', 'STOPPING')
          AND e.event_type NOT IN ('RUNNING', 'STOP_REQUESTED', 'STOPPING')
        RETURNING s.*, e.detail, e.event_type = 'COMPLETED' OR coalesce(e.detail ->> 'execution_outcome' = 'COMPLETED', false) AS is_completed
    )
    INSERT INTO worker_event_outbox (event_id, event_type, worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name,
                                     start_block, current_block, end_block, duration_ms, error_message, error_type)
    SELECT worker_event_id(now()), CASE WHEN is_completed THEN 'sync.completed' ELSE 'sync.failed' END, ended.worker_id, ended.job_id,
           ended.dataset_namespace, ended.dataset_name, ended.manifest_hash, ended.table_name, ended.start_block, front.end_block,
           ended.end_block, CASE WHEN is_completed THEN floor(extract(epoch FROM now() - ended.started_at) * 1000)::bigint END,
           CASE WHEN NOT is_completed THEN left(coalesce(detail ->> 'error_message', ''), 2000) END,
           CASE WHEN NOT is_completed THEN detail ->> 'error_code' END
    FROM ended
    LEFT JOIN block_runs front ON front.revision_id = ended.revision_id AND front.start_block = ended.start_block
    WHERE (is_completed OR detail ? 'error_code') AND EXISTS (SELECT FROM worker_event_settings WHERE recorded)
    ORDER BY ended.job_id, ended.table_name;
    RETURN NULL;
END
$body$;
CREATE TRIGGER job_events_to_worker_events AFTER INSERT ON job_events
REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION record_ends_of_syncs();
