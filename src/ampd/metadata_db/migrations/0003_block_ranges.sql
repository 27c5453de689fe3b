-- depends: 0002_job_engine

-- Ranges of one job, leased by any worker of the cluster. A plan is the job's row for all that concerns its ranges: whoever leases one locks
-- the plan, and not the job.
CREATE TABLE extraction_plans (
    job_id      bigint PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    parallelism integer NOT NULL CHECK (parallelism > 0), -- the most ranges that are read at once
    stops       boolean NOT NULL DEFAULT false, -- what is in hand is finished, nothing more is begun
    updated_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE block_range_leases (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      bigint NOT NULL REFERENCES extraction_plans ON DELETE CASCADE,
    start_block bigint NOT NULL CHECK (start_block >= 0), -- what is committed has gone from the range: it begins behind that
    end_block   bigint NOT NULL CHECK (end_block >= start_block),
    replaces    boolean NOT NULL DEFAULT false, -- blocks that are there already go, in the transaction in which these come
    state       text NOT NULL DEFAULT 'FREE' CHECK (state IN ('FREE', 'READING', 'WRITING', 'DONE')),
    epoch       bigint NOT NULL DEFAULT 0, -- of the lease; rises with each
    worker_id   text,
    incarnation uuid,
    leased_at   timestamptz,
    -- What the range has cost, for the size of the next ones.
    blocks      bigint NOT NULL DEFAULT 0,
    bytes       bigint NOT NULL DEFAULT 0,
    seconds     float8 NOT NULL DEFAULT 0,
    CHECK ((incarnation IS NOT NULL) = (state IN ('READING', 'WRITING')))
) WITH (fillfactor = 50);
CREATE INDEX block_range_leases_of_job ON block_range_leases (job_id, start_block);
CREATE INDEX block_range_leases_of_worker ON block_range_leases (incarnation) WHERE incarnation IS NOT NULL;
CREATE INDEX block_range_leases_free ON block_range_leases (job_id) WHERE state = 'FREE';

-- Objects in the store that do not count: those that are being written (no time of collection), and those to be deleted. An object that is
-- neither here nor in `files` belongs to nobody: its row here is written before it and goes after it.
CREATE TABLE uncounted_files (
    path        text PRIMARY KEY, -- below data_dir
    revision_id bigint NOT NULL REFERENCES table_revisions ON DELETE CASCADE,
    -- The lease under which it is being written: of a range, or of a job.
    range_id    bigint,
    job_id      bigint,
    epoch       bigint,
    reason      text NOT NULL CHECK (reason IN ('PENDING', 'ABANDONED', 'ORPHANED', 'COMPACTED')),
    collect_at  timestamptz CHECK ((collect_at IS NULL) = (reason = 'PENDING')),
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX uncounted_files_to_collect ON uncounted_files (collect_at) WHERE collect_at IS NOT NULL;
CREATE INDEX uncounted_files_pending ON uncounted_files (range_id) WHERE reason = 'PENDING';
CREATE INDEX uncounted_files_of_revision ON uncounted_files (revision_id);

ALTER TABLE table_revisions
    ADD COLUMN listed_at timestamptz NOT NULL DEFAULT now(), -- when its objects were last compared with its rows
    ADD COLUMN compacted_to bigint NOT NULL DEFAULT 0; -- the block before which there is nothing to compact any more
CREATE INDEX files_of_revision_by_time ON files (revision_id, created_at);

-- The files of a revision as runs: each run is a line of segments that hang on each other by hash, without a gap. Written by triggers alone.
CREATE TABLE block_runs (
    revision_id       bigint NOT NULL REFERENCES table_revisions ON DELETE CASCADE,
    start_block       bigint NOT NULL,
    end_block         bigint NOT NULL,
    start_parent_hash bytea NOT NULL,
    end_hash          bytea NOT NULL,
    files_count       bigint NOT NULL,
    total_size_bytes  bigint NOT NULL,
    row_count         bigint NOT NULL,
    PRIMARY KEY (revision_id, start_block)
) WITH (fillfactor = 50);

INSERT INTO block_runs
SELECT revision_id, min(start_block), max(end_block), (array_agg(start_parent_hash ORDER BY start_block))[1],
       (array_agg(end_hash ORDER BY start_block DESC))[1], count(*), sum(object_size), sum(row_count)
FROM (
    SELECT *, sum(CASE WHEN continues THEN 0 ELSE 1 END) OVER (PARTITION BY revision_id ORDER BY start_block) AS run
    FROM (
        SELECT *, coalesce(lag(end_block) OVER w = start_block - 1 AND lag(end_hash) OVER w = start_parent_hash, false) AS continues
        FROM files
        WINDOW w AS (PARTITION BY revision_id ORDER BY start_block)
    ) linked
) numbered
GROUP BY revision_id, run;

-- A file comes into the runs. Changes of one revision take turns; none lasts longer than a commit.
CREATE FUNCTION put_into_runs(f files) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    left_run block_runs;
    right_run block_runs;
BEGIN
    PERFORM FROM table_revisions WHERE id = f.revision_id FOR NO KEY UPDATE;
    SELECT * INTO left_run FROM block_runs
    WHERE revision_id = f.revision_id AND start_block <= f.end_block ORDER BY start_block DESC LIMIT 1;
    IF left_run.end_block >= f.start_block THEN
        RAISE EXCEPTION 'blocks % to % are in revision % already', f.start_block, f.end_block, f.revision_id
            USING ERRCODE = 'exclusion_violation';
    END IF;
    IF left_run.end_block IS DISTINCT FROM f.start_block - 1 OR left_run.end_hash <> f.start_parent_hash THEN
        left_run := NULL;
    END IF;
    SELECT * INTO right_run FROM block_runs
    WHERE revision_id = f.revision_id AND start_block = f.end_block + 1 AND start_parent_hash = f.end_hash;
    DELETE FROM block_runs
    WHERE revision_id = f.revision_id AND start_block = right_run.start_block;
    INSERT INTO block_runs VALUES (
        f.revision_id, coalesce(left_run.start_block, f.start_block), coalesce(right_run.end_block, f.end_block),
        coalesce(left_run.start_parent_hash, f.start_parent_hash), coalesce(right_run.end_hash, f.end_hash),
        coalesce(left_run.files_count, 0) + 1 + coalesce(right_run.files_count, 0),
        coalesce(left_run.total_size_bytes, 0) + f.object_size + coalesce(right_run.total_size_bytes, 0),
        coalesce(left_run.row_count, 0) + f.row_count + coalesce(right_run.row_count, 0)
    ) ON CONFLICT (revision_id, start_block) DO UPDATE
    SET end_block = excluded.end_block, end_hash = excluded.end_hash, files_count = excluded.files_count,
        total_size_bytes = excluded.total_size_bytes, row_count = excluded.row_count;
END
$body$;

-- A file goes out of the runs. What lies on its shorter side is counted; what lies on the other follows.
CREATE FUNCTION take_out_of_runs(f files) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    run block_runs;
    counts_left boolean;
    counted record;
    rest record;
    left_side record;
    right_side record;
BEGIN
    PERFORM FROM table_revisions WHERE id = f.revision_id FOR NO KEY UPDATE;
    DELETE FROM block_runs WHERE (revision_id, start_block) = (
        SELECT revision_id, start_block FROM block_runs
        WHERE revision_id = f.revision_id AND start_block <= f.start_block ORDER BY start_block DESC LIMIT 1
    ) AND end_block >= f.end_block
    RETURNING * INTO run;
    IF run.revision_id IS NULL THEN -- the whole revision goes
        RETURN;
    END IF;
    counts_left := f.start_block - run.start_block < run.end_block - f.end_block;
    SELECT count(*) AS files, coalesce(sum(object_size), 0)::bigint AS bytes, coalesce(sum(row_count), 0)::bigint AS rows INTO counted
    FROM files
    WHERE revision_id = f.revision_id
      AND start_block BETWEEN CASE WHEN counts_left THEN run.start_block ELSE f.end_block + 1 END
                          AND CASE WHEN counts_left THEN f.start_block - 1 ELSE run.end_block END;
    SELECT run.files_count - 1 - counted.files AS files, run.total_size_bytes - f.object_size - counted.bytes AS bytes,
           run.row_count - f.row_count - counted.rows AS rows INTO rest;
    IF counts_left THEN
        left_side := counted;
        right_side := rest;
    ELSE
        left_side := rest;
        right_side := counted;
    END IF;
    IF f.start_block > run.start_block THEN
        INSERT INTO block_runs VALUES (f.revision_id, run.start_block, f.start_block - 1, run.start_parent_hash, f.start_parent_hash,
                                       left_side.files, left_side.bytes, left_side.rows);
    END IF;
    IF f.end_block < run.end_block THEN
        INSERT INTO block_runs VALUES (f.revision_id, f.end_block + 1, run.end_block, f.end_hash, run.end_hash,
                                       right_side.files, right_side.bytes, right_side.rows);
    END IF;
END
$body$;

CREATE FUNCTION files_into_runs() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM take_out_of_runs(OLD);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM put_into_runs(NEW);
        RETURN NEW;
    END IF;
    RETURN OLD;
END
$body$;

-- Before: of a statement that takes several files away, each sees those that are still there.
CREATE TRIGGER files_come AFTER INSERT ON files FOR EACH ROW EXECUTE FUNCTION files_into_runs();
CREATE TRIGGER files_go BEFORE UPDATE OR DELETE ON files FOR EACH ROW EXECUTE FUNCTION files_into_runs();

-- What a reader may take for the dataset: its blocks from the first one, without a gap, each once, all of one chain. One look is one state.
CREATE VIEW canonical_files AS
SELECT t.dataset_namespace, t.dataset_name, t.table_name, r.path || '/' || f.file_name AS path, f.start_block, f.end_block, f.row_count,
       f.object_size
FROM physical_tables t
JOIN table_revisions r ON r.id = t.active_revision_id
JOIN block_runs b ON b.revision_id = r.id AND b.start_block = (r.metadata ->> 'start_block')::bigint
JOIN files f ON f.revision_id = r.id AND f.start_block BETWEEN b.start_block AND b.end_block;

ALTER TABLE extraction_plans SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE block_range_leases SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE block_runs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE uncounted_files SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
