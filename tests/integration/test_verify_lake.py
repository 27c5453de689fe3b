"""A lake that exists is verified from its files: what holds, what is damaged, what is missing, and after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.types.json import Jsonb

from ampd.data_store import (
    Compression,
    Dataset,
    LakeFiles,
    Segment,
    TableStore,
    describe_segment,
    encode_segment,
    segment_file_name,
)
from ampd.datasets import DatasetStore, generate_manifest
from ampd.errors import AmpError, ErrorCode
from ampd.extraction import VerificationHandler, lake_walk
from ampd.extraction.lake_report import LakeReport
from ampd.jobs import JobContext, Lease
from ampd.metadata_db import MetadataDb
from ampd.object_store import ObjectStore
from oracle.recorded import recorded
from oracle.verified import tables_of, with_value
from support.engine import Engine, worker_session
from support.nodes import FIRST_BLOCK, LAST_BLOCK, MAINNET

LEFT_OUT = ("withdrawals_root", "the node left the withdrawals out")
Finding = dict[str, Any]


_REGISTER: Any = """
INSERT INTO files (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size,
                   metadata)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class Scene:
    """The lake of one dataset, written in segments, and jobs that verify it."""

    def __init__(self, engine: Engine, directory: Path, executor: Executor) -> None:
        self.engine = engine
        self.directory = directory / "lake"
        self.lake = ObjectStore.open(self.directory)
        self.datasets = DatasetStore(engine.db, ObjectStore.open(directory / "manifests"))
        self.tables = TableStore(engine.db)
        self.executor = executor
        self.manifest_hash = ""
        self._jobs = 0
        self._writer: Lease | None = None

    async def write(self, *segments: tuple[int, int], tables: dict[str, pa.Table] | None = None) -> None:
        """Write the recorded blocks in these segments; of these ``tables``, or as they were recorded."""
        manifest = generate_manifest("evm-rpc", "mainnet", FIRST_BLOCK, False)
        self.manifest_hash = (await self.datasets.register("a", "lake", "1.0.0", manifest)).manifest_hash
        lease = self._writer = self._writer or await self._lease("writer", "extraction", {})
        await self.set_writer("RUNNING")
        dataset = Dataset("a", "lake", self.manifest_hash, FIRST_BLOCK)
        revisions = await self.tables.open_revisions(lease, dataset, manifest.table_names)
        for first, last in segments:
            rows = tables or tables_of(*[recorded(f"{MAINNET.name}/{number}") for number in range(first, last + 1)])
            blocks = rows["blocks"]
            segment = Segment(
                first, last, blocks.column("parent_hash")[0].as_py(), blocks.column("hash")[-1].as_py(), 1_700_000_000
            )
            for name, revision in revisions.items():
                file_name = segment_file_name(first)
                description = describe_segment(
                    segment, table=name, file_name=file_name, network="mainnet", created_at=datetime.now(UTC)
                )
                body = encode_segment(name, [rows[name]], description, Compression())
                put = await self.lake.put(f"{revision.path}/{file_name}", body)
                hashes = (segment.start_parent_hash, segment.end_hash)
                counts = (rows[name].num_rows, put.size, Jsonb(description))
                await self.change(_REGISTER, revision.id, file_name, first, last, *hashes, *counts)

    async def set_writer(self, state: str) -> None:
        if self._writer is not None:
            await self.change("UPDATE jobs SET state = %s WHERE id = %s", state, self._writer.job_id)

    async def _lease(self, key: str, kind: str, job_input: dict[str, Any]) -> Lease:
        job = await self.engine.deploy(key, kind=kind, input=job_input)
        (lease,) = await self.engine.start(job.id)
        return lease

    async def job(self, **blocks: int) -> JobContext:
        """Return the context of a new verification job."""
        self._jobs += 1
        await self.set_writer("COMPLETED")
        job_input = {"dataset_namespace": "a", "dataset_name": "lake", "manifest_hash": self.manifest_hash, **blocks}
        lease = await self._lease(f"verify-{self._jobs}", "verification", job_input)
        return JobContext(lease, job_input, asyncio.Event(), lambda: True)

    def handler(self, batch_blocks: int = 5) -> VerificationHandler:
        return VerificationHandler(
            db=self.engine.db,
            datasets=self.datasets,
            leased_jobs=self.engine.leased,
            lake=self.lake,
            executor=self.executor,
            batch_blocks=batch_blocks,
        )

    async def report(self, context: JobContext) -> LakeReport:
        stored = await self.engine.leased.last_progress(context.lease)
        assert stored is not None
        return LakeReport.from_json(stored)

    async def holds(self, batch_blocks: int = 5, **blocks: int) -> LakeReport:
        context = await self.job(**blocks)
        assert await self.handler(batch_blocks).run(context)
        return await self.report(context)

    async def fails(self, **blocks: int) -> tuple[list[Finding], LakeReport]:
        """Verify a lake that does not hold; return what was found first, and the report."""
        context = await self.job(**blocks)
        with pytest.raises(AmpError) as caught:
            await self.handler().run(context)
        error = caught.value
        assert (error.code, error.recoverable) == (ErrorCode.VERIFICATION_FAILED, False)
        report = await self.report(context)
        assert error.context["violations"] == report.violations
        assert error.context["violation_count"] == report.violation_count
        first = report.violations[0]
        assert f"block {first['block']}, {first['commitment']}: {first['detail']}" in error.message
        assert report.next_block == report.end_block + 1, "it goes on to the end all the same"
        total = report.verified_blocks + report.broken_blocks + report.skipped_blocks
        assert total == report.end_block - report.start_block + 1
        return report.violations, report

    def file(self, table: str, place: int) -> Path:
        return sorted((self.directory / "a" / "lake" / table).glob("*/*.parquet"))[place]

    async def change(self, statement: Any, *parameters: Any) -> None:
        await self.engine.change(statement, *parameters)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
async def scene(metadata_db: MetadataDb, database_url: str, tmp_path: Path, executor: Executor) -> AsyncIterator[Scene]:
    with worker_session(database_url) as session:
        yield Scene(Engine(metadata_db, session), tmp_path, executor)


# Three segments of nine blocks.
A, B, C = (FIRST_BLOCK, FIRST_BLOCK + 2), (FIRST_BLOCK + 3, FIRST_BLOCK + 5), (FIRST_BLOCK + 6, FIRST_BLOCK + 8)
LAST = C[1]


def shown(findings: Sequence[Finding]) -> set[tuple[int, str]]:
    return {(one["block"], one["commitment"]) for one in findings}


async def test_a_lake_that_holds_is_counted(scene: Scene) -> None:
    await scene.write(A, B, C)
    for batch_blocks in (1, 4, 100):
        report = await scene.holds(batch_blocks)
        assert (report.start_block, report.end_block, report.next_block) == (FIRST_BLOCK, LAST, LAST + 1)
        assert (report.verified_blocks, report.broken_blocks, report.skipped_blocks) == (9, 0, 0)
        assert report.not_checked == {LEFT_OUT: 9}
        assert report.previous_hash is not None


async def test_a_part_of_a_lake_is_verified_from_the_middle_of_a_file(scene: Scene) -> None:
    await scene.write(A, (B[0], C[1]))
    report = await scene.holds(2, start_block=FIRST_BLOCK + 4, end_block=FIRST_BLOCK + 7)
    assert (report.verified_blocks, report.next_block) == (4, FIRST_BLOCK + 8)


async def test_files_of_many_pieces_are_read_to_their_end(scene: Scene) -> None:
    await scene.write((FIRST_BLOCK, LAST_BLOCK))
    assert scene.file("logs", 0).stat().st_size > 0
    assert pq.read_metadata(scene.file("logs", 0)).num_rows > 5_000
    assert (await scene.holds(3)).verified_blocks == 23


async def test_a_changed_value_is_named_with_its_block_row_and_both_values(scene: Scene) -> None:
    numbers = range(FIRST_BLOCK, FIRST_BLOCK + 3)
    tables = tables_of(*[recorded(f"{MAINNET.name}/{number}") for number in numbers])
    rows = tables["transactions"].column("block_num").to_pylist()
    place = rows.index(FIRST_BLOCK + 1)
    tables["transactions"] = with_value(tables["transactions"], "value", place + 6, "7")
    await scene.write(A, tables=tables)
    findings, report = await scene.fails()
    assert shown(findings) == {(FIRST_BLOCK + 1, "transaction_hash"), (FIRST_BLOCK + 1, "transactions_root")}
    first = next(one for one in findings if one["commitment"] == "transaction_hash")
    assert first["row"] == 6
    assert first["stated"] == recorded(f"{MAINNET.name}/{FIRST_BLOCK + 1}").block["transactions"][6]["hash"]
    assert (report.verified_blocks, report.broken_blocks) == (2, 1)


async def test_of_many_violations_the_first_are_kept_and_all_are_counted(scene: Scene) -> None:
    tables = tables_of(*[recorded(f"{MAINNET.name}/{number}") for number in range(FIRST_BLOCK, LAST + 1)])
    for row in range(9):
        tables["blocks"] = with_value(tables["blocks"], "gas_used", row, 1)
        tables["blocks"] = with_value(tables["blocks"], "receipt_root", row, bytes(32))
    await scene.write((FIRST_BLOCK, LAST), tables=tables)
    findings, report = await scene.fails()
    assert (len(findings), report.violation_count, report.broken_blocks) == (20, 27, 9)


# --- files


async def test_a_missing_file_is_named_and_the_rest_verified(scene: Scene) -> None:
    await scene.write(A, B, C)
    gone = scene.file("logs", 1)
    gone.unlink()
    findings, report = await scene.fails()
    assert shown(findings) == {(B[0], "file_content")}
    assert findings[0]["table"] == "logs"
    assert findings[0]["file"].endswith(gone.name)
    assert "is not there" in findings[0]["detail"]
    assert (report.verified_blocks, report.skipped_blocks) == (6, 3)


async def test_one_wrong_bit_in_any_column_is_found_also_where_nothing_commits_to_it(scene: Scene) -> None:
    """Pages have checksums."""
    await scene.write(A, B, C)
    for table, column in (("blocks", "extra"), ("transactions", "from"), ("logs", "data")):
        file = scene.file(table, 0)
        chunks = pq.read_metadata(file).row_group(0)
        places = range(chunks.num_columns)
        chunk = next(chunks.column(at) for at in places if chunks.column(at).path_in_schema == column)
        whole = file.read_bytes()
        content = bytearray(whole)
        content[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 2] ^= 0x01
        file.write_bytes(content)
        findings, report = await scene.fails()
        assert shown(findings) == {(A[0], "file_content")}, column
        assert (report.verified_blocks, report.skipped_blocks) == (6, 3)
        file.write_bytes(whole)
    assert (await scene.holds()).verified_blocks == 9


async def test_a_file_that_was_cut_short_or_is_no_parquet_is_named(scene: Scene) -> None:
    await scene.write(A, B)
    file = scene.file("transactions", 1)
    whole = file.read_bytes()
    for end in (0, 1, 8, 1000, -1):
        file.write_bytes(whole[:end])
        findings, _ = await scene.fails()
        assert shown(findings) == {(B[0], "file_content")}
        assert "bytes" in findings[0]["detail"]
    file.write_bytes(bytes(len(whole)))
    findings, _ = await scene.fails()
    assert shown(findings) == {(B[0], "file_content")}
    assert "Parquet" in findings[0]["detail"]


async def test_a_file_of_another_segment_in_its_place_is_named(scene: Scene) -> None:
    await scene.write(A, B)
    one, other = scene.file("blocks", 0), scene.file("blocks", 1)
    one.write_bytes(other.read_bytes())
    await scene.change("UPDATE files SET object_size = %s WHERE file_name = %s", one.stat().st_size, one.name)
    findings, _ = await scene.fails()
    assert shown(findings) == {(A[0], "file_content")}
    assert "another segment" in findings[0]["detail"]


async def test_a_file_with_other_columns_is_named(scene: Scene) -> None:
    await scene.write(A, B)
    file = scene.file("logs", 1)
    metadata = pq.read_metadata(file).metadata
    table = pq.read_table(file, partitioning=None).drop_columns(["topic2"])
    pq.write_table(table.replace_schema_metadata(metadata), file)
    await scene.change("UPDATE files SET object_size = %s WHERE file_name = %s", file.stat().st_size, file.name)
    findings, report = await scene.fails()
    assert shown(findings) == {(B[0], "column_rules")}
    assert "has no column topic2" in findings[0]["detail"]
    assert report.verified_blocks >= 3


# --- coverage and links


async def test_a_gap_between_segments_is_named_once(scene: Scene) -> None:
    await scene.write(A, C)
    findings, report = await scene.fails()
    assert shown(findings) == {(B[0], "block_coverage")}
    assert {one["table"] for one in findings} == {"blocks", "transactions", "logs", "withdrawals"}
    assert f"{B[0]} to {B[1]}" in findings[0]["detail"]
    assert (report.verified_blocks, report.skipped_blocks) == (6, 3)


async def test_the_way_is_the_same_when_files_and_gaps_are_longer_than_what_is_listed_at_a_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_walk, "_WINDOW_BLOCKS", 2)
    await scene.write(A, C)
    findings, report = await scene.fails()
    assert [(one["block"], one["commitment"]) for one in findings] == [(B[0], "block_coverage")] * 4, "each table once"
    assert (report.verified_blocks, report.skipped_blocks) == (6, 3)
    await scene.write(B)
    assert (await scene.holds(100)).verified_blocks == 9


async def test_a_gap_that_is_about_to_be_filled_ends_what_is_verified(scene: Scene) -> None:
    await scene.write(A, C)
    context = await scene.job()
    await scene.set_writer("RUNNING")
    assert await scene.handler().run(context)
    report = await scene.report(context)
    assert (report.end_block, report.verified_blocks) == (A[1], 3)


async def test_blocks_that_one_table_lacks_are_named(scene: Scene) -> None:
    await scene.write(A, B, C)
    await scene.change("DELETE FROM files WHERE file_name = %s", scene.file("logs", 2).name)
    findings, report = await scene.fails()
    assert [(one["block"], one["table"], one["commitment"]) for one in findings] == [(C[0], "logs", "block_coverage")]
    assert report.verified_blocks == 6


async def test_blocks_beyond_the_lake_are_missing_when_they_are_asked_for(scene: Scene) -> None:
    await scene.write(A)
    findings, _ = await scene.fails(end_block=LAST_BLOCK)
    assert shown(findings) == {(B[0], "block_coverage")}


async def test_blocks_that_stand_in_two_files_are_named(scene: Scene) -> None:
    await scene.write(A, B)
    # The database refuses it; one that was restored from somewhere may have it.
    await scene.change("ALTER TABLE files DISABLE TRIGGER USER")
    await scene.change("UPDATE files SET end_block = %s WHERE file_name = %s", B[0], scene.file("logs", 0).name)
    findings, _ = await scene.fails()
    assert (B[0], "block_coverage") in shown(findings)
    assert scene.file("logs", 0).name in next(one for one in findings if one["block"] == B[0])["detail"]


async def test_the_hashes_that_a_file_was_registered_with_are_compared(scene: Scene) -> None:
    await scene.write(A, B)
    name = scene.file("transactions", 1).name
    await scene.change("UPDATE files SET start_parent_hash = %s WHERE file_name = %s", bytes(32), name)
    findings, report = await scene.fails()
    assert shown(findings) == {(B[0], "segment_link")}
    await scene.change("UPDATE files SET end_hash = %s WHERE file_name = %s", bytes(32), name)
    findings, report = await scene.fails()
    assert shown(findings) == {(B[0], "segment_link"), (B[1], "segment_link")}
    assert "0x" + "00" * 32 in findings[0]["detail"]
    assert report.verified_blocks == 6, "the blocks themselves are right"


async def test_a_link_is_checked_across_batches_too(scene: Scene) -> None:
    await scene.write(A, B)
    tables = tables_of(*[recorded(f"{MAINNET.name}/{number}") for number in range(C[0], C[1] + 1)])
    tables["blocks"] = with_value(tables["blocks"], "parent_hash", 0, bytes(32))
    await scene.write(C, tables=tables)
    context = await scene.job()
    with pytest.raises(AmpError):
        await scene.handler(batch_blocks=3).run(context)
    report = await scene.report(context)
    assert shown(report.violations) == {(C[0], "parent_hash"), (C[0], "header_hash")}


# --- runs


async def test_there_is_nothing_to_verify_in_an_empty_lake(scene: Scene) -> None:
    await scene.write()
    context = await scene.job()
    with pytest.raises(AmpError, match="nothing to verify") as caught:
        await scene.handler().run(context)
    assert not caught.value.recoverable


async def test_a_stop_keeps_what_was_verified_and_the_next_attempt_goes_on_there(scene: Scene) -> None:
    """Findings, counts and the link to the block before survive."""
    await scene.write(A, C)
    context = await scene.job()
    handler = scene.handler(batch_blocks=1)
    stop = context.stop
    check = handler._check

    async def check_some(batch: Any, network: str, report: LakeReport) -> None:
        await check(batch, network, report)
        if report.next_block > B[0]:
            stop.set()

    handler._check = check_some  # type: ignore[method-assign]
    assert not await handler.run(context)
    halfway = await scene.report(context)
    assert B[0] < halfway.next_block <= LAST
    assert (halfway.verified_blocks, halfway.violation_count) == (3, 4)
    stop.clear()
    read: list[int] = []

    async def note(batch: Any, network: str, report: LakeReport) -> None:
        read.append(batch.start_block)
        await check_again(batch, network, report)

    again = scene.handler(batch_blocks=1)
    check_again = again._check
    again._check = note  # type: ignore[method-assign]
    with pytest.raises(AmpError) as caught:
        await again.run(context)
    assert min(read) == halfway.next_block
    report = await scene.report(context)
    assert (report.verified_blocks, report.skipped_blocks, report.violation_count) == (6, 3, 4)
    assert caught.value.context["violations"][: len(halfway.violations)] == halfway.violations


async def test_who_has_lost_the_lease_writes_no_progress(scene: Scene) -> None:
    await scene.write(A)
    context = await scene.job()
    await scene.change("UPDATE jobs SET lease_epoch = lease_epoch + 1 WHERE id = %s", context.lease.job_id)
    with pytest.raises(AmpError) as caught:
        await scene.handler().run(context)
    assert caught.value.code is ErrorCode.LEASE_LOST
    assert await scene.engine.leased.last_progress(context.lease) is None


async def test_files_are_listed_from_the_one_that_holds_the_first_block(scene: Scene) -> None:
    await scene.write(A, B, C)
    files = LakeFiles(scene.engine.db, "a", "lake", scene.manifest_hash)
    assert await files.last_block() == LAST
    found = await files.between(B[0] + 1, C[0])
    assert [(one.start_block, one.end_block) for one in found if one.table_name == "logs"] == [B, C]
    assert await files.between(LAST + 1, LAST + 5) == []
    assert await LakeFiles(scene.engine.db, "a", "other", scene.manifest_hash).last_block() is None
