"""The tables of the lake: revisions, the files that count, and how far they reach.

A file is part of the lake only by its row in ``files``. The rows of all tables of a segment are written in one
transaction, under the lease of their range (:mod:`ampd.data_store.range_store`). The database keeps the runs of blocks
that hang together up to date with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import uuid_utils
from psycopg.types.json import Jsonb

from ampd.data_store.job_ranges import JobRanges, read_job_ranges
from ampd.data_store.ranges import BlockRange
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import Job, Lease, hold_lease
from ampd.metadata_db import Connection, MetadataDb, sql


@dataclass(frozen=True)
class Dataset:
    """The dataset whose tables are meant, at one manifest."""

    namespace: str
    name: str
    manifest_hash: str
    start_block: int


@dataclass(frozen=True)
class Revision:
    """A directory of files of one table; ``path`` lies below the data directory."""

    id: int
    table_name: str
    path: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class SegmentFile:
    """A written file that waits for its registration."""

    revision_id: int
    file_name: str
    row_count: int
    size: int
    e_tag: str | None
    version: str | None
    description: dict[str, Any]


@dataclass(frozen=True)
class TableProgress:
    """How far a table reaches.

    ``start_block`` and ``current_block`` bound the contiguous, hash-linked blocks from the dataset's start (None when
    there are none); counts, bytes and rows are of the files in it. ``gaps`` are the ranges missing before files that
    lie further on.
    """

    start_block: int | None
    current_block: int | None
    files_count: int
    total_size_bytes: int
    row_count: int
    gaps: list[BlockRange]


@dataclass(frozen=True)
class ProgressSummary:
    """Where a job is going: the last block it wants (None: it follows the chain), its speed over the last minute,
    seconds to go.
    """

    end_block: int | None
    blocks_per_second: float | None
    eta_seconds: int | None


class TableStore:
    """The tables of one metadata database."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db

    async def open_revisions(self, lease: Lease, dataset: Dataset, table_names: Iterable[str]) -> dict[str, Revision]:
        """Return the active revision of each table, new ones where there are none, with the job of ``lease`` as their
        writer.

        :raises AmpError: LEASE_LOST.
        """
        async with self._db.transaction() as connection:
            await hold_lease(connection, lease)
            return {name: await self._open_revision(connection, lease, dataset, name) for name in table_names}

    async def _open_revision(self, connection: Connection, lease: Lease, dataset: Dataset, table_name: str) -> Revision:
        parameters = {
            "namespace": dataset.namespace,
            "name": dataset.name,
            "manifest_hash": dataset.manifest_hash,
            "table_name": table_name,
            "job_id": lease.job_id,
            "path": f"{dataset.namespace}/{dataset.name}/{table_name}/{uuid_utils.uuid7()}",
            "metadata": Jsonb(
                {
                    "dataset_namespace": dataset.namespace,
                    "dataset_name": dataset.name,
                    "manifest_hash": dataset.manifest_hash,
                    "table_name": table_name,
                    "start_block": dataset.start_block,
                }
            ),
        }
        await connection.execute(sql("data_store", "ensure_physical_table"), parameters)
        row = await (await connection.execute(sql("data_store", "take_active_revision"), parameters)).fetchone()
        if row is None:
            row = await (await connection.execute(sql("data_store", "create_active_revision"), parameters)).fetchone()
        assert row is not None  # noqa: S101 - an INSERT … RETURNING without a condition gives its row
        return Revision(id=row["id"], table_name=table_name, path=row["path"], metadata=row["metadata"])

    async def bind_chain(self, revisions: Iterable[Revision], chain_id: int) -> None:
        """Bind revisions to the chain they are filled from; once bound they take no other.

        :raises AmpError: NETWORK_MISMATCH when they hold blocks of another chain.
        """
        parameters = {"ids": [revision.id for revision in revisions], "chain_id": chain_id}
        rows = await self._db.fetch_all(sql("data_store", "bind_chain"), parameters)
        for row in rows:
            if row["chain_id"] != chain_id:
                raise AmpError(
                    ErrorCode.NETWORK_MISMATCH,
                    f"the node says it is chain {chain_id}, but {row['path']} holds blocks of chain {row['chain_id']}: "
                    "give the provider the URL of the right chain, or register the dataset under another name",
                )

    async def revisions_of_job(self, job_id: int) -> dict[str, Revision]:
        """Return the active revisions that a job writes, by table."""
        rows = await self._db.fetch_all(sql("data_store", "list_revisions_of_job"), {"job_id": job_id})
        return {row["table_name"]: Revision(**row) for row in rows}

    async def active_revisions(self, namespace: str, name: str, manifest_hash: str) -> dict[str, Revision]:
        """Return the active revisions of a dataset at one manifest, by table; they keep their writer."""
        parameters = {"namespace": namespace, "name": name, "manifest_hash": manifest_hash}
        rows = await self._db.fetch_all(sql("data_store", "list_active_revisions"), parameters)
        return {row["table_name"]: Revision(**row) for row in rows}

    async def progress_of_job(self, job_id: int) -> dict[str, TableProgress]:
        """Return how far each table that the job writes reaches, by name."""
        rows = await self._db.fetch_all(sql("data_store", "progress_of_job"), {"job_id": job_id})
        return {
            row["table_name"]: TableProgress(
                start_block=row["start_block"],
                current_block=row["current_block"],
                files_count=row["files_count"],
                total_size_bytes=row["total_size_bytes"],
                row_count=row["row_count"],
                gaps=[(gap[0], gap[1]) for gap in row["gaps"]],
            )
            for row in rows
        }

    async def ranges_of_job(
        self, job_id: int, *, start_block: int | None = None, end_block: int | None = None, most: int
    ) -> JobRanges:
        """Return which blocks of its tables a job has, which are being read, and which are missing; see
        :func:`ampd.data_store.job_ranges.read_job_ranges`.
        """
        return await read_job_ranges(self._db, job_id, start_block=start_block, end_block=end_block, most=most)

    async def progress_summary(self, job: Job) -> ProgressSummary:
        """Return where the job is going and how fast."""
        row = await self._db.fetch_one(sql("data_store", "progress_summary"), {"job_id": job.id})
        report: Mapping[str, Any] = row["report"] if row else {}
        end_block = report.get("end_block")
        rate = float(row["blocks_per_second"]) if row and row["blocks_per_second"] else None
        eta = None
        if rate and end_block is not None and row and row["blocks_done"] is not None:
            wanted = end_block - report["start_block"] + 1
            eta = max(0, round((wanted - row["blocks_done"]) / rate))
        return ProgressSummary(end_block=end_block, blocks_per_second=rate, eta_seconds=eta)
