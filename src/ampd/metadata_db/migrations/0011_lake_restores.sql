-- depends: 0005_jobs_of_dataset

-- How far the last restore of a dataset from its files is, for those who watch it: it may read footers for minutes.
CREATE TABLE lake_restores (
    dataset_namespace text NOT NULL,
    dataset_name      text NOT NULL,
    manifest_hash     text NOT NULL,
    state             text NOT NULL CHECK (state IN ('RUNNING', 'COMPLETED', 'FAILED')),
    phase             text NOT NULL CHECK (phase IN ('LISTING', 'READING', 'REGISTERING', 'ACTIVATING')),
    files_found       bigint NOT NULL DEFAULT 0,
    files_read        bigint NOT NULL DEFAULT 0,
    files_registered  bigint NOT NULL DEFAULT 0,
    error             jsonb,
    started_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset_namespace, dataset_name, manifest_hash)
) WITH (fillfactor = 50);

-- A manifest stays as long as there are files that were written by it.
CREATE INDEX table_revisions_of_manifest ON table_revisions ((metadata ->> 'manifest_hash'));
