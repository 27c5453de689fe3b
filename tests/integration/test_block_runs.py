"""The runs of blocks that the database keeps beside the files are what the files say, after any change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ampd.metadata_db import MetadataDb
from support.ranges import Ranges, hash_of, running_extraction

_INSERT = """
INSERT INTO files (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size,
                   metadata)
VALUES (%s, gen_random_uuid()::text, %s, %s, %s, %s, %s, %s, '{}')
"""
_EXPECTED = """
SELECT min(start_block) AS start_block, max(end_block) AS end_block, count(*) AS files_count,
       sum(object_size)::bigint AS total_size_bytes, sum(row_count)::bigint AS row_count
FROM (
    SELECT *, sum(CASE WHEN continues THEN 0 ELSE 1 END) OVER (ORDER BY start_block) AS run
    FROM (
        SELECT *, coalesce(lag(end_block) OVER w = start_block - 1 AND lag(end_hash) OVER w = start_parent_hash, false)
                  AS continues
        FROM files WHERE revision_id = %(id)s WINDOW w AS (ORDER BY start_block)
    ) linked
) numbered
GROUP BY run ORDER BY 1
"""
_FOUND = """
SELECT start_block, end_block, files_count, total_size_bytes, row_count FROM block_runs
WHERE revision_id = %(id)s ORDER BY start_block
"""
SLOTS = 8  # segments of three blocks each, each of one of two forks

change = st.one_of(
    st.tuples(st.just("insert"), st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("delete"), st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("resize"), st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("unlink"), st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=2, unique=True)),
)


@pytest.fixture
async def ranges(metadata_db: MetadataDb) -> AsyncIterator[Ranges]:
    async with running_extraction(metadata_db) as scene:
        yield scene


@given(changes=st.lists(change, min_size=1, max_size=10))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_runs_follow_every_change_of_the_files(database_url: str, changes: list[tuple[str, list[int]]]) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection, connection.transaction(force_rollback=True):
        row = connection.execute(
            "INSERT INTO table_revisions (path) VALUES (gen_random_uuid()::text) RETURNING id"
        ).fetchone()
        assert row is not None
        revision_id: int = row[0]
        for what, slots in changes:
            _change(connection, revision_id, what, slots)
            found = connection.execute(_FOUND, {"id": revision_id}).fetchall()
            assert found == connection.execute(_EXPECTED, {"id": revision_id}).fetchall(), (what, slots)


def _change(connection: psycopg.Connection[Any], revision_id: int, what: str, slots: list[int]) -> None:
    starts = [3 * slot for slot in slots]
    if what == "insert":
        taken = {
            row[0] for row in connection.execute("SELECT start_block FROM files WHERE revision_id = %s", (revision_id,))
        }
        for start in set(starts) - taken:
            values = (revision_id, start, start + 2, hash_of(start - 1), hash_of(start + 2), start + 1, 10 * start + 1)
            connection.execute(_INSERT, values)
        return
    action = {
        "delete": "DELETE FROM files",
        "resize": "UPDATE files SET object_size = object_size + 5, row_count = row_count + 1",
        "unlink": "UPDATE files SET start_parent_hash = set_byte(start_parent_hash, 0, 255)",
    }[what]
    statement = f"{action} WHERE revision_id = %s AND start_block = ANY (%s)"
    connection.execute(statement.encode(), (revision_id, starts))


async def test_a_revision_goes_with_its_files_and_runs(ranges: Ranges) -> None:
    await ranges.run(_INSERT, ranges.revisions["logs"].id, 0, 2, hash_of(-1), hash_of(2), 1, 1)
    await ranges.run("DELETE FROM table_revisions")
    assert await ranges.run("SELECT FROM block_runs") == []


async def test_overlapping_blocks_are_refused_whoever_writes_them(ranges: Ranges) -> None:
    blocks = ranges.revisions["blocks"].id
    await ranges.run(_INSERT, blocks, 10, 19, hash_of(9), hash_of(19), 1, 1)
    for start, end in ((10, 19), (12, 13), (19, 25), (0, 10), (0, 30)):
        with pytest.raises(psycopg.errors.ExclusionViolation):
            await ranges.run(_INSERT, blocks, start, end, hash_of(start - 1), hash_of(end), 1, 1)
    await ranges.run(_INSERT, ranges.revisions["logs"].id, 10, 19, hash_of(9), hash_of(19), 1, 1)
