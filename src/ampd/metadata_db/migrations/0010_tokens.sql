-- depends: 0005_jobs_of_dataset 0008_webhooks

-- Who may use the Admin API. A token itself is stored nowhere: only its SHA-256. Rows stay when a token is revoked: once there was a token,
-- nobody gets in without one.
CREATE TABLE tokens (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'), -- the actor in the history of jobs
    role         text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    namespaces   text[] CHECK (cardinality(namespaces) > 0), -- NULL: everything
    prefix       text NOT NULL UNIQUE, -- how a token starts: it is found and recognised by that
    hash         bytea NOT NULL CHECK (octet_length(hash) = 32),
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz, -- to the minute
    revoked_at   timestamptz,
    revoked_by   text
);
CREATE UNIQUE INDEX tokens_of_name ON tokens (name) WHERE revoked_at IS NULL;

-- Pages of the jobs that a token sees, in the states that were asked for. The condition is that of ampd.jobs.job_filter.
CREATE INDEX jobs_of_namespace ON jobs ((input ->> 'dataset_namespace'), state, id)
    WHERE kind IN ('extraction', 'verification', 'compaction');

-- As it was, but for what is said of namespaces: a job is of a namespace only when its kind is one of datasets. Inputs of other kinds may have the
-- same word for something else.
CREATE OR REPLACE FUNCTION record_webhook_deliveries() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE enabled) THEN
        INSERT INTO webhook_deliveries (webhook_id, job_id, event_id, sequence, event, occurred_at, job)
        SELECT webhook_id, told.job_id, told.id, 2 * told.id + told.place - 1, told.event, told.created_at, kept.job
        FROM ( -- the events that somebody is told of, each once
            SELECT e.id, e.job_id, e.created_at, e.event_type, e.execution_number, e.detail, named.event, named.place,
                   array_agg(w.id ORDER BY w.id) AS webhook_ids
            FROM came e
            CROSS JOIN LATERAL unnest(webhook_events(e.event_type, e.from_state, e.detail)) WITH ORDINALITY AS named (event, place)
            JOIN jobs j ON j.id = e.job_id
            JOIN webhooks w ON w.enabled AND named.event = ANY (w.events)
                AND (w.kinds IS NULL OR j.kind = ANY (w.kinds))
                AND (w.products IS NULL OR j.labels ->> 'product' = ANY (w.products))
                AND (w.envs IS NULL OR j.labels ->> 'env' = ANY (w.envs))
                AND (w.dataset_namespaces IS NULL OR (j.kind IN ('extraction', 'verification', 'compaction')
                                                      AND j.input ->> 'dataset_namespace' = ANY (w.dataset_namespaces)))
            GROUP BY e.id, e.job_id, e.created_at, e.event_type, e.execution_number, e.detail, named.event, named.place
        ) told
        JOIN jobs j ON j.id = told.job_id
        CROSS JOIN LATERAL (SELECT to_jsonb(j) AS whole OFFSET 0) row_of -- OFFSET: once for each event
        CROSS JOIN LATERAL (
            SELECT webhook_job(j, row_of.whole, told.event_type, told.execution_number, told.detail) AS job OFFSET 0
        ) kept
        CROSS JOIN LATERAL unnest(told.webhook_ids) AS webhook_id
        ORDER BY told.id, told.place, webhook_id;
    END IF;
    RETURN NULL;
END
$body$;
