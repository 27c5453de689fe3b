"""Which of the files that lie in a store make up a dataset, when nothing but the files is left to tell. Pure.

A file says which blocks it has, on which block they hang, and which one they end with: it leads from one *place* of the
chain (a block and its hash) to a later one. What counts is a line of files from place to place. The store holds more
than that: files that have been compacted into others, files of blocks that a reorg took back, and files of attempts
that never came to their commit, often of some tables only. So a line is taken only as far as every table has one to
the same place; then all tables have the same blocks, each once.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple


@dataclass(frozen=True)
class FoundFile:
    """A file as its footer describes it. Hashes have 32 bytes, ``size`` is in bytes, ``created_at`` in Unix seconds.

    ``counts``: it counts already, and stays. ``description`` is the footer's own.
    """

    name: str
    start_block: int
    end_block: int
    start_parent_hash: bytes
    end_hash: bytes
    created_at: float = 0.0
    row_count: int = 0
    size: int = 1
    e_tag: str | None = None
    version: str | None = None
    description: dict[str, Any] | None = None
    counts: bool = False

    @cached_property
    def begins_at(self) -> Place:
        """The place that the file hangs on."""
        return self.start_block - 1, self.start_parent_hash

    @cached_property
    def leads_to(self) -> Place:
        """The place behind the file's last block."""
        return self.end_block, self.end_hash


Place = tuple[int, bytes]
Files = Sequence[FoundFile]


def choose(tables: Mapping[str, Files], start_block: int) -> dict[str, list[FoundFile]]:
    """Return the files of each table that count, in the order of their blocks.

    No two files of a table overlap, and all tables have the same blocks. Of two lines from one place the longer one is
    taken, of equal ones the newer; of two ways to the same place the one with fewer, that is larger, files. Files that
    count already are kept, and whatever overlaps one of them is not taken.

    Segments that all tables have go before files with borders of their own, unless these have more blocks: compaction
    and reorgs replace whole segments.
    """
    usable = {name: _beside_what_counts(files, start_block) for name, files in tables.items()}
    in_step = _in_step(usable)
    whole = _lines(in_step, start_block)
    if in_step == usable:
        return whole
    any_border = _lines(usable, start_block)
    return any_border if _blocks(any_border) > _blocks(whole) else whole


def _beside_what_counts(files: Files, start_block: int) -> list[FoundFile]:
    counting = sorted((file for file in files if file.counts), key=lambda file: file.start_block)
    taken = list(counting)
    others = sorted((file for file in files if not file.counts), key=lambda file: file.start_block)
    at = 0
    for file in others:
        while at < len(counting) and counting[at].end_block < file.start_block:
            at += 1
        is_free = at == len(counting) or counting[at].start_block > file.end_block
        if is_free and file.start_block >= start_block:
            taken.append(file)
    return taken


def _in_step(tables: Mapping[str, Files]) -> dict[str, list[FoundFile]]:
    """Return the files of segments that every table has."""
    segments = [{(file.begins_at, file.leads_to) for file in files} for files in tables.values()]
    common = set.intersection(*segments) if segments else set()
    return {
        name: [file for file in files if (file.begins_at, file.leads_to) in common] for name, files in tables.items()
    }


def _blocks(lines: Mapping[str, Files]) -> int:
    return min((sum(file.end_block - file.start_block + 1 for file in files) for files in lines.values()), default=0)


def _lines(tables: Mapping[str, Files], start_block: int) -> dict[str, list[FoundFile]]:
    """Return the longest line from the start of each table and, behind it, those that begin behind a gap or a break."""
    leading = {name: _by_place(files) for name, files in tables.items()}
    chosen: dict[str, list[FoundFile]] = {name: [] for name in tables}
    position = start_block
    for place in _common_places(leading.values()):
        if place[0] + 1 < position:
            continue
        ways = {name: _ways_from(place, files) for name, files in leading.items()}
        end = _furthest(place, list(ways.values()))
        if end is None:
            continue
        for name, reached in ways.items():
            chosen[name] += _way_to(end, place, reached)
        position = end[0] + 1
    return chosen


def _by_place(files: Iterable[FoundFile]) -> dict[Place, list[FoundFile]]:
    leading: dict[Place, list[FoundFile]] = defaultdict(list)
    for file in files:
        leading[file.begins_at].append(file)
    return leading


def _common_places(leading: Iterable[Mapping[Place, Files]]) -> list[Place]:
    """Return the places at which every table has a file that begins there: in order, and of one block the newest
    first.
    """
    tables = list(leading)
    if not tables:
        return []
    common = set(tables[0]).intersection(*tables[1:])
    newest = {place: max(file.created_at for files in tables for file in files[place]) for place in common}
    return sorted(common, key=lambda place: (place[0], -newest[place], place[1]))


class _Reached(NamedTuple):
    """How a place is reached best: over so many files, the last one of which is ``by``."""

    files: int
    by: FoundFile | None


def _ways_from(source: Place, leading: Mapping[Place, Files]) -> dict[Place, _Reached]:
    """Return the places that files lead to from ``source``, each with its best last file."""
    reached = {source: _Reached(0, None)}
    open_places = [source]
    while open_places:
        place = heapq.heappop(open_places)
        for file in leading.get(place, ()):
            way = _Reached(reached[place].files + 1, file)
            known = reached.get(file.leads_to)
            if known is None:
                heapq.heappush(open_places, file.leads_to)
            if known is None or _is_better(way, known):
                reached[file.leads_to] = way
    return reached


def _is_better(way: _Reached, known: _Reached) -> bool:
    if way.files != known.files or way.by is None or known.by is None:
        return way.files < known.files
    return (way.by.created_at, way.by.name) > (known.by.created_at, known.by.name)


def _furthest(source: Place, ways: Sequence[Mapping[Place, _Reached]]) -> Place | None:
    common = set(ways[0]).intersection(*ways[1:]) - {source}

    def rank(place: Place) -> tuple[int, float, bytes]:
        last = [way[place].by for way in ways]
        return place[0], max(file.created_at for file in last if file is not None), place[1]

    return max(common, key=rank, default=None)


def _way_to(end: Place, source: Place, reached: Mapping[Place, _Reached]) -> list[FoundFile]:
    way = []
    place = end
    while place != source:
        file = reached[place].by
        assert file is not None  # noqa: S101 - every place but the source was reached by a file
        way.append(file)
        place = file.begins_at
    return way[::-1]


def with_timestamps(tables: Mapping[str, Files]) -> dict[str, list[FoundFile]]:
    """Return the files with the time of their last block in their descriptions, where a file of any table knows it:
    older files of the reference system do not say it themselves.
    """
    known = {
        file.leads_to: file.description["ranges"][-1]["timestamp"]
        for files in tables.values()
        for file in files
        if file.description and file.description["ranges"][-1].get("timestamp") is not None
    }
    return {name: [_with_timestamp(file, known.get(file.leads_to)) for file in files] for name, files in tables.items()}


def _with_timestamp(file: FoundFile, timestamp: int | None) -> FoundFile:
    if timestamp is None or not file.description or file.description["ranges"][-1].get("timestamp") is not None:
        return file
    last = {**file.description["ranges"][-1], "timestamp": timestamp}
    return replace(file, description={**file.description, "ranges": [*file.description["ranges"][:-1], last]})
