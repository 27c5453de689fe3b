-- depends: 0011_lake_restores

-- Where a source's stream of blocks goes on behind a segment, written in the transaction in which the segment comes to count: a cursor is never
-- ahead of the data. Whoever extracts the next block resumes there, and hears what of its past the chain has undone meanwhile.
CREATE TABLE source_cursors (
    job_id    bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    end_block bigint NOT NULL, -- the last block of the segment
    end_hash  bytea NOT NULL,
    cursor    text NOT NULL, -- opaque; of the source that gave the block
    PRIMARY KEY (job_id, end_block)
) WITH (fillfactor = 50);
ALTER TABLE source_cursors SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
