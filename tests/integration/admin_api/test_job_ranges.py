"""Which blocks a job has, which are being read, and which are missing, against a second opinion, block by block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from admin_api_cluster import error, services_over
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ampd.access import AccessStore, NewToken, Role
from ampd.admin_api import create_app
from ampd.data_store.job_ranges import BlockState, StateRange, read_job_ranges
from ampd.jobs import JobStore
from ampd.metadata_db import MetadataDb
from support.engine import deployment
from support.ranges import TABLES, Ranges, fill_lake, hash_of, running_extraction, segment

LAST = 79


@pytest.fixture
async def ranges(metadata_db: MetadataDb) -> AsyncIterator[Ranges]:
    async with running_extraction(metadata_db) as running:
        yield running


@pytest.fixture
async def api(metadata_db: MetadataDb, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(services_over(metadata_db, tmp_path)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def shown(api: httpx.AsyncClient, job_id: int, **asked: int) -> dict[str, Any]:
    answer = await api.get(f"/jobs/{job_id}/ranges", params=asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def brief(told: dict[str, Any], table: str = "blocks") -> list[tuple[Any, ...]]:
    """Return the ranges of a table as tuples."""
    (found,) = [each["ranges"] for each in told["tables"] if each["table"] == table]
    return [tuple(each.values()) for each in found]


async def test_a_job_shows_what_it_has_what_is_in_hand_and_what_is_missing(
    ranges: Ranges, api: httpx.AsyncClient
) -> None:
    assert await ranges.leased.report_progress(ranges.lease, {"start_block": 0, "end_block": 99, "latest_block": 500})
    ranges.worker("helper")
    await ranges.plan((0, 19), (20, 39), (40, 59), (60, 79))
    first = await ranges.take()
    await ranges.commit(first, segment(0, 9))
    await ranges.take("helper")
    third = await ranges.take()
    await ranges.commit(third, segment(40, 59))
    told = await shown(api, ranges.job_id)
    assert (told["start_block"], told["end_block"], told["head_block"]) == (0, 99, 500)
    assert told["is_coarse"] is False
    assert [each["table"] for each in told["tables"]] == sorted(TABLES)
    for table in TABLES:
        assert brief(told, table) == [
            (0, 9, "done"),
            (10, 19, "in_hand", "holder"),
            (20, 39, "in_hand", "helper"),
            (40, 59, "done"),
            (60, 99, "missing"),
        ]
    part = await shown(api, ranges.job_id, start_block=5, end_block=24)
    assert brief(part) == [(5, 9, "done"), (10, 19, "in_hand", "holder"), (20, 24, "in_hand", "helper")]


async def test_blocks_that_the_chain_has_undone_are_orphaned_until_others_have_their_places(
    ranges: Ranges, api: httpx.AsyncClient
) -> None:
    await ranges.plan((0, 39))
    lease = await ranges.take()
    for start in (0, 10, 20):
        await ranges.commit(lease, segment(start, start + 9))
    # The next block hangs on another one than the last that is there.
    await ranges.commit(lease, segment(30, 39, fork=1))
    assert brief(await shown(api, ranges.job_id)) == [(0, 29, "done"), (30, 39, "orphaned")]
    # The fork begins at block 20: what is there from it on is to be replaced.
    await ranges.plan((20, 29), replaces=True)
    assert brief(await shown(api, ranges.job_id)) == [(0, 19, "done"), (20, 39, "orphaned")]
    lease = await ranges.take()
    assert brief(await shown(api, ranges.job_id)) == [
        (0, 19, "done"),
        (20, 29, "in_hand", "holder"),
        (30, 39, "orphaned"),
    ]
    await ranges.commit(lease, segment(20, 29, fork=1, parent_fork=0))
    assert brief(await shown(api, ranges.job_id)) == [(0, 39, "done")]


async def test_jobs_that_write_no_tables_have_none(
    metadata_db: MetadataDb, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    jobs = JobStore(metadata_db)
    plain = await jobs.deploy(deployment("k", kind="http"), actor="t")
    nothing = {"start_block": None, "end_block": None, "head_block": None, "tables": [], "is_coarse": False}
    assert await shown(api, plain.id) == nothing
    assert error(await api.get("/jobs/4711/ranges")) == (404, "JOB_NOT_FOUND")
    assert error(await api.get("/jobs/x/ranges")) == (400, "INVALID_JOB_ID")
    for wrong in ({"start_block": 9, "end_block": 8}, {"most": 9}, {"most": 2001}, {"start_block": -1}, {"first": 1}):
        answer = await api.get(f"/jobs/{plain.id}/ranges", params=wrong)
        assert error(answer) == (400, "INVALID_QUERY_PARAMETERS"), wrong
    # What a token does not see does not exist for it.
    access = AccessStore(metadata_db)
    await access.create(NewToken(Role.ADMIN), actor="t")
    _, limited = await access.create(NewToken(Role.VIEWER, None, ("other",)), actor="t")
    answer = await api.get(f"/jobs/{plain.id}/ranges", headers={"Authorization": f"Bearer {limited}"})
    assert error(answer) == (404, "JOB_NOT_FOUND")


async def test_a_part_of_the_chain_in_which_there_is_nothing_is_missing(ranges: Ranges, api: httpx.AsyncClient) -> None:
    told = await shown(api, ranges.job_id)
    assert [each["ranges"] for each in told["tables"]] == [[], []], "nobody knows where it ends"
    told = await shown(api, ranges.job_id, start_block=50, end_block=2**53 - 1)
    assert brief(told) == [(50, 2**53 - 1, "missing")]
    assert [each["ranges"] for each in (await shown(api, ranges.job_id, start_block=50))["tables"]] == [[], []]


# --- a second opinion


@dataclass(frozen=True)
class Piece:
    """Blocks one behind the other: a segment of a fork, a range that is planned, or nothing."""

    blocks: int
    what: str  # nothing, segment, free, held
    fork: int = 0
    replaces: bool = False


PIECES = st.lists(
    st.builds(
        Piece,
        st.integers(1, 9),
        st.sampled_from(["nothing", "segment", "segment", "segment", "free", "held"]),
        st.integers(0, 1),
        st.booleans(),
    ),
    min_size=1,
    max_size=16,
)


def placed(pieces: list[Piece]) -> list[tuple[int, int, Piece]]:
    found, start = [], 0
    for piece in pieces:
        if start <= LAST:
            found.append((start, min(LAST, start + piece.blocks - 1), piece))
        start += piece.blocks
    return found


def expected(pieces: list[Piece]) -> list[tuple[str, str | None]]:
    """Return state and worker of each block, slowly."""
    states: list[tuple[str, str | None]] = [("missing", None)] * (LAST + 1)
    segments: dict[int, int] = {}  # the fork of each block that counts
    for start, end, piece in placed(pieces):
        if piece.what == "segment" or piece.replaces:
            segments |= dict.fromkeys(range(start, end + 1), piece.fork)
    breaks = {b for a, b in pairwise(sorted(segments)) if b == a + 1 and segments[a] != segments[b]}
    for block in sorted(segments):
        first = block  # of its run
        while first - 1 in segments and first not in breaks:
            first -= 1
        states[block] = ("orphaned" if first in breaks else "done", None)
    for start, end, piece in placed(pieces):
        for block in range(start, end + 1):
            if piece.what == "held":
                states[block] = ("in_hand", "worker")
            elif piece.what == "free" and piece.replaces:
                states[block] = ("orphaned", None)
    return states


_LEASE = """
INSERT INTO block_range_leases (job_id, start_block, end_block, replaces, state, worker_id, incarnation)
VALUES (%s, %s, %s, %s, %s, %s, CASE WHEN %s THEN gen_random_uuid() END)
"""
_FILE = """
INSERT INTO files (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size,
                   metadata)
VALUES (%s, %s, %s, %s, %s, %s, 1, 1, '{}')
"""


async def make(ranges: Ranges, pieces: list[Piece]) -> None:
    """Write segments of a table and planned ranges. A range that replaces has a segment beneath it."""
    revision = ranges.revisions["blocks"].id
    await ranges.store.begin_plan(ranges.lease, 4)
    async with ranges.db.transaction() as connection:
        await connection.execute("DELETE FROM files")
        await connection.execute("DELETE FROM block_range_leases")
        for start, end, piece in placed(pieces):
            if piece.what == "segment" or piece.replaces:
                hashes = (hash_of(start - 1, piece.fork), hash_of(end, piece.fork))
                await connection.execute(_FILE, (revision, f"{start}", start, end, *hashes))
            if piece.what in {"free", "held"}:
                held = piece.what == "held"
                state, worker = ("READING", "worker") if held else ("FREE", None)
                await connection.execute(_LEASE, (ranges.job_id, start, end, piece.replaces, state, worker, held))


def check_form(found: list[StateRange], start: int, end: int) -> None:
    """They leave nothing out, and no two neighbours could be one."""
    assert (found[0].start_block, found[-1].end_block) == (start, end)
    for one, next_one in pairwise(found):
        assert next_one.start_block == one.end_block + 1
        assert BlockState.MIXED in (one.state, next_one.state) or (one.state, one.worker_id) != (
            next_one.state,
            next_one.worker_id,
        )


_settings = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _clean(pieces: list[Piece]) -> list[Piece]:
    """Only planned ranges replace anything."""
    return [
        Piece(each.blocks, each.what, each.fork, each.replaces and each.what in {"free", "held"}) for each in pieces
    ]


@_settings
@given(pieces=PIECES.map(_clean), bounds=st.tuples(st.integers(0, LAST), st.integers(0, LAST)).map(sorted))
async def test_every_block_is_in_the_state_that_a_slow_look_finds(
    ranges: Ranges, pieces: list[Piece], bounds: list[int]
) -> None:
    await make(ranges, pieces)
    start, end = bounds
    truth = expected(pieces)
    fine = await read_job_ranges(ranges.db, ranges.job_id, start_block=start, end_block=end, most=500)
    assert not fine.is_coarse
    found = list(fine.tables["blocks"])
    check_form(found, start, end)
    told = [(str(each.state), each.worker_id) for each in found for _ in range(each.start_block, each.end_block + 1)]
    assert told == truth[start : end + 1]
    # The same, coarsely.
    for most in (1, 3):
        coarse = await read_job_ranges(ranges.db, ranges.job_id, start_block=start, end_block=end, most=most)
        assert coarse.is_coarse == (max(len(each) for each in fine.tables.values()) > most)
        check_form(list(coarse.tables["blocks"]), start, end)
        for each in coarse.tables["blocks"] if coarse.is_coarse else ():
            blocks = truth[each.start_block : each.end_block + 1]
            if each.state is BlockState.MIXED:
                assert len(set(blocks)) > 1
                assert each.done_share == pytest.approx(blocks.count(("done", None)) / len(blocks))
            else:
                assert set(blocks) == {(str(each.state), each.worker_id)}
        assert len(coarse.tables["blocks"]) <= most or not coarse.is_coarse


async def test_many_small_ranges_are_joined(ranges: Ranges, api: httpx.AsyncClient, database_url: str) -> None:
    fill_lake(database_url, segments=3000, blocks_each=10)
    (whole,) = {tuple(brief(await shown(api, ranges.job_id), table)) for table in TABLES}
    assert whole == ((0, 29_999, "done"),)
    await ranges.run(
        "DELETE FROM files WHERE start_block > 10000 AND start_block %% 20 = 0 AND revision_id = %s",
        ranges.revisions["blocks"].id,
    )
    told = await shown(api, ranges.job_id, most=100)
    assert told["is_coarse"] is True
    parts = brief(told)
    assert parts[0] == (0, 9899, "done"), "parts are 300 blocks wide"
    assert parts[1][2:] == ("mixed", 0.7)
    assert {part[2:] for part in parts[2:]} == {("mixed", 0.5)}
    assert len(parts) == 68
    assert brief(told, "logs") == [(0, 29_999, "done")]
    near = await shown(api, ranges.job_id, start_block=20_000, end_block=20_039)
    assert near["is_coarse"] is False
    assert brief(near) == [
        (20_000, 20_009, "missing"),
        (20_010, 20_019, "done"),
        (20_020, 20_029, "missing"),
        (20_030, 20_039, "done"),
    ]
