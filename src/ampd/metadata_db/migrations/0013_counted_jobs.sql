-- depends: 0010_tokens

-- How many jobs are in which state, and how often they were tried again: statistics read these rows, not the jobs. Written by triggers alone. Each
-- backend counts in rows of its own, so that no transaction waits for another one; now and then the controller folds them into those of backend 0.
-- Only the sums mean something: a single row may be negative.
CREATE TABLE job_counts (
    kind              text NOT NULL,
    dataset_namespace text NOT NULL, -- empty: not a job of a dataset. As in jobs_of_namespace
    state             text NOT NULL,
    backend           integer NOT NULL,
    jobs              bigint NOT NULL,
    retried           bigint NOT NULL, -- of these jobs, those that had to be tried again
    retries           bigint NOT NULL, -- of all of them together
    PRIMARY KEY (kind, dataset_namespace, state, backend)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The labels of all jobs, for pages of those that have one. Apart from `jobs`: a transition changes no label, and writes into every index of `jobs`.
-- Long ones are cut; a query compares the whole label, too.
CREATE TABLE job_labels (
    key    text NOT NULL,
    value  text NOT NULL,
    job_id bigint NOT NULL,
    PRIMARY KEY (key, value, job_id)
);

CREATE FUNCTION namespace_of_job(kind text, input jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN kind IN ('extraction', 'verification', 'compaction') THEN coalesce(input ->> 'dataset_namespace', '') ELSE '' END
$body$;

-- Sessions of ours plan every statement again: here a plan for all values will do. And by a join of another kind than the one that is left whole tables
-- may be read.
CREATE FUNCTION jobs_came() RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $body$
BEGIN
    INSERT INTO job_counts AS c
    SELECT kind, namespace_of_job(kind, input), state, pg_backend_pid(), count(*), count(*) FILTER (WHERE total_retries > 0), sum(total_retries)
    FROM came GROUP BY 1, 2, 3
    ON CONFLICT (kind, dataset_namespace, state, backend) DO UPDATE
    SET jobs = c.jobs + excluded.jobs, retried = c.retried + excluded.retried, retries = c.retries + excluded.retries;
    INSERT INTO job_labels SELECT left(l.key, 255), left(l.value, 255), came.id FROM came CROSS JOIN jsonb_each_text(came.labels) l
    ON CONFLICT DO NOTHING; -- of two that were cut
    RETURN NULL;
END
$body$;

CREATE FUNCTION jobs_changed() RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $body$
BEGIN
    INSERT INTO job_counts AS c
    SELECT kind, namespace_of_job(kind, input), state, pg_backend_pid(), sum(n), sum(CASE WHEN total_retries > 0 THEN n ELSE 0 END), sum(n * total_retries)
    FROM (
        SELECT kind, input, state, total_retries, 1 AS n FROM came
        UNION ALL
        SELECT kind, input, state, total_retries, -1 FROM went
    ) each
    GROUP BY 1, 2, 3
    HAVING sum(n) <> 0 OR sum(CASE WHEN total_retries > 0 THEN n ELSE 0 END) <> 0 OR sum(n * total_retries) <> 0
    ON CONFLICT (kind, dataset_namespace, state, backend) DO UPDATE
    SET jobs = c.jobs + excluded.jobs, retried = c.retried + excluded.retried, retries = c.retries + excluded.retries;
    RETURN NULL;
END
$body$;

CREATE FUNCTION jobs_went() RETURNS trigger LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $body$
BEGIN
    INSERT INTO job_counts AS c
    SELECT kind, namespace_of_job(kind, input), state, pg_backend_pid(), -count(*), -count(*) FILTER (WHERE total_retries > 0), -sum(total_retries)
    FROM went GROUP BY 1, 2, 3
    ON CONFLICT (kind, dataset_namespace, state, backend) DO UPDATE
    SET jobs = c.jobs + excluded.jobs, retried = c.retried + excluded.retried, retries = c.retries + excluded.retries;
    DELETE FROM job_labels USING went CROSS JOIN jsonb_each_text(went.labels) l
    WHERE job_labels.key = left(l.key, 255) AND job_labels.value = left(l.value, 255) AND job_labels.job_id = went.id;
    RETURN NULL;
END
$body$;

CREATE FUNCTION labels_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    DELETE FROM job_labels USING jsonb_each_text(OLD.labels) l
    WHERE job_labels.key = left(l.key, 255) AND job_labels.value = left(l.value, 255) AND job_labels.job_id = OLD.id;
    INSERT INTO job_labels SELECT left(l.key, 255), left(l.value, 255), NEW.id FROM jsonb_each_text(NEW.labels) l ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$body$;

CREATE FUNCTION all_jobs_went() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    DELETE FROM job_counts;
    DELETE FROM job_labels;
    RETURN NULL;
END
$body$;

CREATE TRIGGER jobs_came AFTER INSERT ON jobs REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION jobs_came();
CREATE TRIGGER jobs_changed AFTER UPDATE ON jobs REFERENCING OLD TABLE AS went NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION jobs_changed();
CREATE TRIGGER jobs_went AFTER DELETE ON jobs REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION jobs_went();
CREATE TRIGGER all_jobs_went AFTER TRUNCATE ON jobs FOR EACH STATEMENT EXECUTE FUNCTION all_jobs_went();
CREATE TRIGGER labels_changed AFTER UPDATE OF labels ON jobs FOR EACH ROW WHEN (OLD.labels IS DISTINCT FROM NEW.labels) EXECUTE FUNCTION labels_changed();

-- The triggers hold off whoever writes jobs until this is committed: nothing is counted twice, nothing is missed.
INSERT INTO job_counts
SELECT kind, namespace_of_job(kind, input), state, 0, count(*), count(*) FILTER (WHERE total_retries > 0), sum(total_retries) FROM jobs GROUP BY 1, 2, 3;
INSERT INTO job_labels SELECT left(l.key, 255), left(l.value, 255), jobs.id FROM jobs CROSS JOIN jsonb_each_text(jobs.labels) l ON CONFLICT DO NOTHING;

-- Those that wait for their time, of which there are few beside those that are due: statistics count them by themselves.
CREATE INDEX jobs_of_the_future ON jobs (run_at) WHERE state = 'SCHEDULED';

-- Pages of the jobs of a namespace, in the states that were asked for. The expression is one that no other index begins with: that of datasets would
-- seem to fit, and reads all jobs of the namespace.
DROP INDEX jobs_of_namespace;
CREATE INDEX jobs_of_namespace ON jobs (namespace_of_job(kind, input), state, id) WHERE kind IN ('extraction', 'verification', 'compaction');
