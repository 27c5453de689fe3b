-- depends: 0015_worker_events
-- phase: pre
-- transactional: false

-- Whose active revision one is: asked at the begin of each attempt of an extraction, and when revisions are deleted.
DROP INDEX CONCURRENTLY IF EXISTS physical_tables_by_revision;
CREATE INDEX CONCURRENTLY physical_tables_by_revision ON physical_tables (active_revision_id);
