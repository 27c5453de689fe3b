"""A database with 1,000,000 jobs and 10,000,000 events, to see what statements read of it.

What a job is follows from its id: the ranges below say what ``_FILL`` makes of which ids.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import LiteralString
from uuid import UUID

import psycopg

from ampd.jobs import Lease, WorkerIdentity
from ampd.metadata_db import EmbeddedPostgres, migrate

JOBS = 1_000_000
EVENTS = 10_000_000
# The jobs were deployed one after the other over this time.
DAYS = 180.0
WORKERS = 40
# With the jobs that they hold the workers have 520 free slots.
SLOTS = 27

# Spread over the jobs that have ended: those that have failed or were stopped are old.
FAILED = range(700, 591_000, 1970)
STOPPED = range(1100, 275_800, 1970)
RUNNING = range(1970, 985_001, 1970)
# Each of these has 10,000 events more than others.
RESTLESS = RUNNING[:9]
# The newest ones.
STOP_REQUESTED = range(985_941, 985_951)
STOPPING = range(985_951, 985_961)
OVERDUE = 4  # of each of both
ASSIGNED = range(985_961, 986_001)
DEPENDENT = range(986_001, 987_001)
HELD = len(RUNNING) + len(STOP_REQUESTED) + len(STOPPING) + len(ASSIGNED)
DUE = 10_000
FUTURE = 3_000

# 300 jobs wait for this one alone.
AWAITED = RUNNING[-1]
# Of this dataset 1,000 revisions were deployed, all of them long ago.
OLD_DATASET = ("archive", "often_deployed")

BIG_TABLES = ("jobs", "job_events", "job_attempts", "job_executions", "job_dependencies", "job_progress", "job_labels")

# Rows that go into a table that was emptied in the same transaction need no log, when there is neither a standby nor an
# archive. Nothing may change what is measured but the tests themselves: no autovacuum.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "shared_buffers": "512MB",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
}

_FILL: tuple[LiteralString, ...] = (
    """
INSERT INTO workers (node_id, incarnation, slots)
SELECT node_id, md5(node_id)::uuid, 27
FROM (SELECT 'worker-' || to_char(n, 'FM00') AS node_id FROM generate_series(0, 39) AS n) AS worker
""",
    """
INSERT INTO worker_heartbeats (node_id, incarnation, heartbeat_at) SELECT node_id, incarnation, now() FROM workers
""",
    """
INSERT INTO jobs (id, kind, idempotency_key, state, input, labels, worker_selector, priority, run_at, retry_count,
                  last_error, worker_id, worker_incarnation, lease_epoch, created_at, updated_at, dependencies_met,
                  stop_deadline, stop_intent, started_at, ended_at)
OVERRIDING SYSTEM VALUE
SELECT
    n,
    CASE WHEN extracts THEN 'extraction' WHEN n % 3 = 0 THEN 'noop' ELSE 'benchmark.noop' END,
    CASE WHEN extracts THEN md5('a' || n) || md5('b' || n) ELSE 'noop:' || n END,
    state,
    CASE WHEN extracts
        THEN jsonb_build_object(
            'kind', 'materialize-raw', 'end_block', '18000000', 'max_writers', 4, 'verify', false,
            'dataset_namespace', CASE WHEN n <= 10000 THEN 'archive' ELSE 'team_' || n / 10 % 7 END,
            'dataset_name', CASE WHEN n <= 10000 THEN 'often_deployed' ELSE 'chain_' || n / 10 % 5009 END,
            'manifest_hash', md5('c' || n) || md5('d' || n))
        ELSE '{}'
    END,
    CASE WHEN extracts THEN jsonb_build_object('version', '1.0.' || n / 10 % 50) ELSE '{}' END,
    CASE n % 100 WHEN 3 THEN worker WHEN 17 THEN 'worker-1*' WHEN 40 THEN worker WHEN 41 THEN 'worker-*' END,
    CASE WHEN n % 50 = 0 THEN 100 WHEN n % 20 = 1 THEN 10 WHEN n % 11 = 2 THEN 5 WHEN n % 17 = 3 THEN -10 ELSE 0 END,
    CASE WHEN is_future THEN now() + make_interval(secs => 3600 + n % 1000 * 60) ELSE made_at END,
    CASE WHEN state IN ('FAILED', 'RUNNING') AND n % 4 = 0 THEN 3 ELSE 0 END,
    CASE WHEN state = 'FAILED' THEN '{"error_code": "INTERNAL_ERROR", "error_message": "no"}'::jsonb END,
    CASE WHEN n <= 986000 THEN worker END,
    CASE WHEN is_held THEN md5(worker)::uuid END,
    CASE WHEN n <= 986000 THEN 1 ELSE 0 END,
    made_at,
    made_at,
    n NOT BETWEEN 986001 AND 987000,
    CASE WHEN state IN ('STOP_REQUESTED', 'STOPPING') THEN now() + make_interval(hours => 10 * (n % 10 - 3) - 5) END,
    CASE WHEN state IN ('STOP_REQUESTED', 'STOPPING') THEN 'STOP' END,
    CASE WHEN state <> 'SCHEDULED' THEN made_at END,
    CASE WHEN state IN ('COMPLETED', 'FAILED', 'STOPPED') THEN made_at END
FROM generate_series(1, 1000000) AS n
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN n > 985960 THEN 'SCHEDULED'
            WHEN n > 985950 THEN 'STOPPING'
            WHEN n > 985940 THEN 'STOP_REQUESTED'
            WHEN n % 1970 = 0 THEN 'RUNNING'
            WHEN n % 1970 = 700 AND n < 591000 THEN 'FAILED'
            WHEN n % 1970 = 1100 AND n < 275800 THEN 'STOPPED'
            ELSE 'COMPLETED'
        END AS state,
        n % 10 = 0 AS extracts,
        n > 987000 AND n % 13 < 3 AS is_future,
        'worker-' || to_char(n / 10 % 40, 'FM00') AS worker,
        now() - make_interval(secs => (1000001 - n) * 15.552) AS made_at
) AS job
CROSS JOIN LATERAL (SELECT n BETWEEN 985941 AND 986000 OR state = 'RUNNING' AS is_held) AS attempt
""",
    # As the triggers would have counted them.
    """
INSERT INTO job_counts
SELECT kind, namespace_of_job(kind, input), state, 0, count(*), count(*) FILTER (WHERE total_retries > 0),
       sum(total_retries)
FROM jobs GROUP BY 1, 2, 3
""",
    """
INSERT INTO job_labels SELECT l.key, l.value, id FROM jobs CROSS JOIN jsonb_each_text(labels) l
""",
    """
INSERT INTO job_executions (job_id, number, input, created_at, finished_at, outcome)
SELECT id, 1, input, created_at, CASE WHEN has_ended THEN updated_at END, CASE WHEN has_ended THEN state END
FROM jobs CROSS JOIN LATERAL (SELECT state IN ('COMPLETED', 'FAILED', 'STOPPED') AS has_ended) AS job
""",
    """
INSERT INTO job_attempts (job_id, lease_epoch, execution_number, worker_id, worker_incarnation, assigned_at, started_at,
                          finished_at, outcome)
SELECT id, 1, 1, worker_id, md5(worker_id)::uuid, created_at, CASE WHEN state <> 'SCHEDULED' THEN created_at END,
       CASE WHEN has_ended THEN updated_at END, CASE WHEN has_ended THEN state END
FROM jobs CROSS JOIN LATERAL (SELECT state IN ('COMPLETED', 'FAILED', 'STOPPED') AS has_ended) AS job
WHERE worker_id IS NOT NULL
""",
    """
INSERT INTO job_progress (job_id, data, updated_at)
SELECT id, '{"start_block": 17000000, "end_block": 18000000}', updated_at
FROM jobs WHERE kind = 'extraction' AND worker_id IS NOT NULL
""",
    # 50,000 that have completed waited for something too.
    """
INSERT INTO job_dependencies (job_id, reference, depends_on_id, depends_on_key)
SELECT n, 'awaited', 985000, NULL FROM generate_series(986001, 986300) AS n
UNION ALL
SELECT n, 'running', n % 499 * 1970 + 1970, NULL FROM generate_series(986301, 987000) AS n
UNION ALL
SELECT n, 'completed', NULL, 'noop:' || n - 985001 FROM generate_series(986301, 987000) AS n WHERE n % 10 <> 1
UNION ALL
SELECT n, 'earlier', n - 1, NULL FROM generate_series(21, 985940, 20) AS n
""",
    # Ten for each job, but one for those that are due; what is missing to 10,000,000 comes after them.
    """
INSERT INTO job_events (job_id, created_at, actor, event_type, from_state, node_id, execution_number, lease_epoch)
SELECT n, made_at, 'test', CASE k WHEN 10 THEN 'COMPLETED' WHEN 1 THEN 'SCHEDULED' ELSE 'RUNNING' END,
       CASE WHEN k > 1 THEN 'RUNNING' END, CASE WHEN k > 1 THEN 'worker-00' END, 1, k
FROM (SELECT n, made_at, generate_series(1, CASE WHEN n > 987000 AND n % 13 >= 3 THEN 1 ELSE 10 END) AS k
      FROM (SELECT n, now() - make_interval(secs => (1000001 - n) * 15.552) AS made_at
            FROM generate_series(1, 1000000) AS n OFFSET 0) AS job) AS event
""",
    """
INSERT INTO job_events (job_id, actor, event_type, from_state, node_id, execution_number, lease_epoch)
SELECT n, 'test', 'RUNNING', 'SCHEDULED', 'worker-00', 1, k
FROM generate_series(1, 10000) AS k CROSS JOIN generate_series(1970, 9 * 1970, 1970) AS n
""",
)


def worker(number: int) -> WorkerIdentity:
    """Return one of the workers."""
    node_id = f"worker-{number:02d}"
    return WorkerIdentity(node_id, UUID(md5(node_id.encode(), usedforsecurity=False).hexdigest()))


def lease_of(job_id: int) -> Lease:
    """Return the lease of a job that a worker has."""
    identity = worker(job_id // 10 % WORKERS)
    return Lease(job_id, 1, identity.node_id, identity.incarnation)


@contextmanager
def many_jobs() -> Iterator[str]:
    """Give the URL of a database with all of them, on a server of its own; its data goes at the end."""
    directory = Path(tempfile.mkdtemp(prefix="ampd-test-"))
    try:
        with EmbeddedPostgres(directory / "metadb", settings=_SETTINGS) as server:
            migrate(server.url)
            fill(server.url)
            yield server.url
    finally:
        shutil.rmtree(directory)


def fill(url: str) -> None:
    """Fill a migrated database, the fast way: indexes are built afterwards, foreign keys are not checked."""
    tables = list(BIG_TABLES)
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            # Nothing of a lake is there: what refers to jobs is empty.
            connection.execute("TRUNCATE " + ", ".join(BIG_TABLES) + " CASCADE")
            # Indexes that are neither written nor read, until REINDEX builds them.
            connection.execute(
                "UPDATE pg_index SET indisready = false, indisvalid = false WHERE indrelid = ANY (%s::regclass[])",
                (tables,),
            )
            for statement in _FILL:
                connection.execute(statement)
            for table in tables:
                connection.execute(f"REINDEX TABLE {table}")
            connection.execute("SELECT setval(pg_get_serial_sequence('jobs', 'id'), max(id)) FROM jobs")
        connection.execute("VACUUM ANALYZE")
