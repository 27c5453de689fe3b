-- depends: 0017_minutes
-- phase: pre
-- transactional: false

-- Failures are rare: the index holds few of the executions.
DROP INDEX CONCURRENTLY IF EXISTS job_executions_failed;
CREATE INDEX CONCURRENTLY job_executions_failed ON job_executions (finished_at) WHERE outcome = 'FAILED';

-- What came to count in the last minute, of all revisions.
DROP INDEX CONCURRENTLY IF EXISTS files_by_time;
CREATE INDEX CONCURRENTLY files_by_time ON files (created_at);
