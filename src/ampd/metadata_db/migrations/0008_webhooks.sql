-- depends: 0005_jobs_of_dataset

-- Endpoints that are told of what happens to jobs. A filter that is NULL lets everything through.
CREATE TABLE webhooks (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url                text NOT NULL UNIQUE CHECK (octet_length(url) <= 2048),
    description        text NOT NULL DEFAULT '',
    events             text[] NOT NULL CHECK (cardinality(events) > 0),
    kinds              text[],
    products           text[],
    envs               text[],
    dataset_namespaces text[],
    enabled            boolean NOT NULL DEFAULT true,
    disabled_reason    text CHECK (disabled_reason IN ('OPERATOR', 'GONE', 'FAILING')),
    disabled_at        timestamptz,
    failing_since      timestamptz, -- since when there was nothing but failures
    last_failure_at    timestamptz,
    resume_at          timestamptz, -- until when the receiver wants no requests
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CHECK (enabled = (disabled_reason IS NULL) AND enabled = (disabled_at IS NULL))
);

-- Apart from `webhooks`, so that no row which is shown holds one. A key that was replaced signs, beside its successor, until it expires.
CREATE TABLE webhook_keys (
    webhook_id bigint NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    key        bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);
CREATE UNIQUE INDEX webhook_keys_current ON webhook_keys (webhook_id) WHERE expires_at IS NULL;
CREATE INDEX webhook_keys_of_webhook ON webhook_keys (webhook_id);

-- Outbox and log in one: a message to one endpoint, from the event until it is too old. There is no foreign key to the endpoint: a job must
-- never wait for an operator who deletes one.
CREATE TABLE webhook_deliveries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id      bigint NOT NULL,
    message_id      text NOT NULL DEFAULT 'msg_' || replace(gen_random_uuid()::text, '-', ''), -- the same for every try
    job_id          bigint, -- NULL: a test
    event_id        bigint,
    sequence        bigint NOT NULL, -- rises with the events of a job
    event           text NOT NULL,
    occurred_at     timestamptz NOT NULL,
    job             jsonb NOT NULL, -- the job as it was then
    status          text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED')),
    attempts        integer NOT NULL DEFAULT 0, -- since the event, or since it was replayed
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_epoch     bigint NOT NULL DEFAULT 0,
    leased_until    timestamptz, -- while it is being sent
    last_attempt_at timestamptz,
    duration_ms     integer,
    response_status integer,
    response_head   text,
    error           jsonb,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CHECK ((status = 'PENDING') = (finished_at IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at, id) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_of_job ON webhook_deliveries (webhook_id, job_id, id) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_in_flight ON webhook_deliveries (webhook_id) WHERE leased_until IS NOT NULL;
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (webhook_id, id);

-- What receivers call an entry of the history, in order. The end of an execution of a recurring job says how it ended; what becomes of the job
-- then is an event of its own only when the job is set aside or ended by somebody.
CREATE FUNCTION webhook_events(event_type text, from_state text, detail jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $body$
    SELECT array_remove(ARRAY[
        CASE detail ->> 'execution_outcome' WHEN 'COMPLETED' THEN 'job.completed' WHEN 'FAILED' THEN 'job.failed' END,
        CASE
            WHEN event_type = 'PAUSED' THEN 'job.paused'
            WHEN event_type = 'STOPPED' THEN 'job.cancelled'
            WHEN detail ->> 'execution_outcome' IS NOT NULL THEN NULL
            WHEN event_type = 'COMPLETED' THEN 'job.completed'
            WHEN event_type = 'FAILED' THEN 'job.failed'
            WHEN event_type = 'RUNNING' AND from_state = 'SCHEDULED' THEN 'job.started'
            WHEN event_type = 'SCHEDULED' AND from_state = 'PAUSED' THEN 'job.resumed'
            -- New, deployed or tried again by somebody, or its time has come. A retry that waits, a drain and a lost worker tell nobody.
            WHEN event_type = 'SCHEDULED' AND detail ->> 'hastened' IS NULL
                AND (from_state IS NULL OR from_state IN ('COMPLETED', 'STOPPED', 'FAILED', 'SCHEDULED')) THEN 'job.scheduled'
        END
    ], NULL)
$body$;

-- What of a job goes into messages. Columns that later migrations bring are read by name.
CREATE FUNCTION webhook_job(job jobs, execution_number integer, detail jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $body$
    SELECT jsonb_build_object(
        'id', job.id,
        'kind', job.kind,
        'product', job.labels ->> 'product',
        'env', job.labels ->> 'env',
        'dataset_namespace', job.input ->> 'dataset_namespace',
        'dataset_name', job.input ->> 'dataset_name',
        'run_at_ms', floor(extract(epoch FROM job.run_at) * 1000)::bigint,
        'execution_count', coalesce((to_jsonb(job) ->> 'execution_count')::bigint, execution_number),
        'error', left(coalesce(detail ->> 'error_message', job.last_error ->> 'error_message'), 2000),
        'reason', left(coalesce(detail ->> 'reason', to_jsonb(job) ->> 'stop_reason'), 2000)
    )
$body$;

-- In the transaction of the event, after its statement: the job is as the event left it.
CREATE FUNCTION record_webhook_deliveries() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE enabled) THEN
        INSERT INTO webhook_deliveries (webhook_id, job_id, event_id, sequence, event, occurred_at, job)
        SELECT w.id, e.job_id, e.id, 2 * e.id + named.place - 1, named.event, e.created_at, webhook_job(j, e.execution_number, e.detail)
        FROM came e
        CROSS JOIN LATERAL unnest(webhook_events(e.event_type, e.from_state, e.detail)) WITH ORDINALITY AS named (event, place)
        JOIN jobs j ON j.id = e.job_id
        JOIN webhooks w ON w.enabled AND named.event = ANY (w.events)
            AND (w.kinds IS NULL OR j.kind = ANY (w.kinds))
            AND (w.products IS NULL OR j.labels ->> 'product' = ANY (w.products))
            AND (w.envs IS NULL OR j.labels ->> 'env' = ANY (w.envs))
            AND (w.dataset_namespaces IS NULL OR j.input ->> 'dataset_namespace' = ANY (w.dataset_namespaces))
        ORDER BY e.id, named.place, w.id;
    END IF;
    RETURN NULL;
END
$body$;
CREATE TRIGGER job_events_to_webhooks AFTER INSERT ON job_events
REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION record_webhook_deliveries();
