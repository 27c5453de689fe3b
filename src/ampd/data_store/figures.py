"""How far the tables of all datasets are, and who reads which ranges, for metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ampd.jobs import ACTIVE_STATES
from ampd.metadata_db import MetadataDb, sql

MOST_TABLES = 2000


@dataclass(frozen=True)
class TableFigures:
    """How far one table of a dataset, at one manifest, reaches: see :class:`ampd.data_store.TableProgress`.

    ``latest_block`` is the newest block that its job may take, when that last asked; ``end_block`` the one that it is
    to reach (None: it follows the chain). Both are None when nobody knows. ``front_timestamp`` is the time of
    ``current_block`` in Unix seconds, ``network`` the one that its blocks are of; ``job_id`` is the job that writes it.
    """

    dataset_namespace: str
    dataset_name: str
    manifest_hash: str
    table_name: str
    start_block: int
    current_block: int | None
    files_count: int
    total_size_bytes: int
    row_count: int
    end_block: int | None
    latest_block: int | None
    front_timestamp: int | None
    is_wanted: bool
    network: str | None = None
    job_id: int | None = None

    @property
    def lag(self) -> int | None:
        """How many blocks are missing up to the one that is to be reached and can be; None when nobody knows it, or
        nobody wants it at the moment: the job was stopped, is paused, or waits for its next time.
        """
        known = [block for block in (self.end_block, self.latest_block) if block is not None]
        if not known or not self.is_wanted:
            return None
        front = self.start_block - 1 if self.current_block is None else self.current_block
        return max(0, min(known) - front)


@dataclass(frozen=True)
class LakeFigures:
    """The tables, at most :data:`MOST_TABLES` of them, how many there are beside these; ranges by state, and how many
    seconds the oldest lease of one has been held (None: there is none).
    """

    tables: Sequence[TableFigures]
    left_out: int
    ranges: Mapping[str, int]
    oldest_range_seconds: float | None


async def read_table_figures(
    db: MetadataDb, visible: Sequence[str] | None = None
) -> tuple[Sequence[TableFigures], int]:
    """Look how far the tables are in the ``visible`` namespaces (None: all); return at most :data:`MOST_TABLES` of
    them, and how many there are.
    """
    parameters = {
        "active_states": list(ACTIVE_STATES),
        "limit": MOST_TABLES,
        "visible": None if visible is None else list(visible),
    }
    rows = await db.fetch_all(sql("data_store", "table_figures"), parameters)
    total = rows[0]["tables"] if rows else 0
    return [TableFigures(**{name: value for name, value in row.items() if name != "tables"}) for row in rows], total


async def read_lake_figures(db: MetadataDb) -> LakeFigures:
    """Look how far all tables are. The cost is that of the tables, not of their files.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    tables, total = await read_table_figures(db)
    ranges = await db.fetch_all(sql("data_store", "range_figures"))
    ages = [row["oldest_seconds"] for row in ranges if row["oldest_seconds"] is not None]
    return LakeFigures(
        tables=tables,
        left_out=total - len(tables),
        ranges={row["state"]: row["ranges"] for row in ranges},
        oldest_range_seconds=max(ages, default=None),
    )
