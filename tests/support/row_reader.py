"""A reader of a lake that trusts nothing but the rows: it reads the Parquet files of every look from end to end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, LiteralString

import pyarrow as pa
import pyarrow.parquet as pq

from ampd.chain.tables import TABLES
from ampd.replay_node import ReplayChain
from support.tip import Onlooker, Tip

Chain = tuple[str, ...]  # the hashes of blocks, from the first one of the dataset

# All tables in one statement: one look is one state of the lake.
_LOOK: LiteralString = "SELECT table_name, path, start_block, end_block FROM canonical_files ORDER BY start_block"


def hashes_of(chain: ReplayChain) -> Chain:
    return tuple(chain.identity(number).hash for number in range(chain.first_block, chain.last_block + 1))


class RowReader(Onlooker):
    """Reads all rows that count, again and again while the block lasts: there is neither a gap nor a duplicate, every
    block hangs on the one before it, all tables are in step and of the same blocks, and nothing goes without something
    in its place. ``seen`` is every different chain that it found.
    """

    def __init__(self, tip: Tip, first_block: int) -> None:
        super().__init__()
        self.seen: dict[Chain, None] = {}
        self.looks = 0
        self._tip = tip
        self._first_block = first_block
        self._columns: dict[str, dict[str, list[Any]]] = {}  # of a file: what is there never changes

    def assert_only_of(self, chains: Iterable[Chain]) -> None:
        """Check that whatever was seen is the beginning of one of ``chains``."""
        known = list(chains)
        assert self.looks > 0, "nobody has looked"
        for seen in self.seen:
            assert any(chain[: len(seen)] == seen for chain in known), f"a mixture of chains: {seen}"

    async def look(self) -> Chain:
        """Read everything once, and return the hashes of the blocks."""
        rows = await self._tip.db.fetch_all(_LOOK)
        files = {name: [row for row in rows if row["table_name"] == name] for name in TABLES}
        segments = {name: [(row["start_block"], row["end_block"]) for row in of] for name, of in files.items()}
        assert all(of == segments["blocks"] for of in segments.values()), f"the tables are out of step: {segments}"
        blocks = await self._rows(files["blocks"], ("block_num", "hash", "parent_hash"))
        numbers, hashes, parents = blocks["block_num"], blocks["hash"], blocks["parent_hash"]
        wanted = list(range(self._first_block, self._first_block + len(numbers)))
        assert numbers == wanted, f"a gap or a duplicate: {numbers}"
        assert segments["blocks"] == [] or segments["blocks"][-1][1] == wanted[-1], "files without their blocks"
        for (number, before), parent in zip(pairwise_of(numbers, hashes), parents[1:], strict=True):
            assert before == parent, f"block {number + 1} does not hang on block {number}"
        await self._check_transactions(files["transactions"], dict(zip(numbers, hashes, strict=True)))
        return tuple("0x" + each.hex() for each in hashes)

    async def _check_transactions(self, files: Sequence[dict[str, Any]], hashes: dict[int, bytes]) -> None:
        rows = await self._rows(files, ("block_num", "tx_index", "block_hash"))
        places = list(zip(rows["block_num"], rows["tx_index"], strict=True))
        assert len(set(places)) == len(places), "a transaction twice"
        for number, block_hash in zip(rows["block_num"], rows["block_hash"], strict=True):
            assert hashes[number] == block_hash, f"block {number} has a transaction of another chain"

    async def _rows(self, files: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {name: [] for name in names}
        for file in files:
            columns = await self._read(file["path"], names)
            for name in names:
                found[name] += columns[name]
        return found

    async def _read(self, path: str, names: Sequence[str]) -> dict[str, list[Any]]:
        if path not in self._columns:
            content = await self._tip.lake.get(path)
            assert content is not None, f"{path} was just listed and is gone"
            table = pq.read_table(pa.BufferReader(content), columns=list(names))
            self._columns[path] = {name: table.column(name).to_pylist() for name in names}
        return self._columns[path]

    async def _run(self) -> None:
        length = 0
        while True:
            seen = await self.look()
            assert len(seen) >= length, "blocks went without others in their place"
            length = len(seen)
            self.looks += 1
            self.seen[seen] = None
            await asyncio.sleep(0.002)  # the others of this event loop want their turn


def pairwise_of(numbers: Sequence[int], hashes: Sequence[bytes]) -> Iterable[tuple[int, bytes]]:
    """Return all blocks but the last one."""
    return [before for before, _ in pairwise(zip(numbers, hashes, strict=True))]
