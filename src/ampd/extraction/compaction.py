"""Which small segments become one (design section 7.5). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ampd.data_store import StoredFile


@dataclass(frozen=True)
class CompactionLimits:
    """``target_bytes``: what the files of all tables of a compacted segment may have together; ``fewest``: so many
    segments are compacted before there are enough for that.
    """

    target_bytes: int = 32 * 1024 * 1024
    fewest: int = 64


@dataclass(frozen=True)
class Candidate:
    """A segment with its files of all tables."""

    files: Sequence[StoredFile]

    @property
    def start_block(self) -> int:
        """Its first block."""
        return self.files[0].start_block

    @property
    def end_block(self) -> int:
        """Its last block."""
        return self.files[0].end_block

    @property
    def bytes(self) -> int:
        """The size of its files together."""
        return sum(file.object_size for file in self.files)

    @property
    def is_cool(self) -> bool:
        """Whether all of its files are old enough."""
        return all(file.is_cool for file in self.files)


@dataclass(frozen=True)
class Choice:
    """``group``: consecutive segments that become one, none or at least two. ``done_to``: before this block there is
    nothing to compact any more; None: that is as it was.
    """

    group: Sequence[Candidate] = field(default_factory=tuple)
    done_to: int | None = None


def in_step(files: Sequence[StoredFile], tables: int) -> list[Candidate]:
    """Return the first segments that all of so many ``tables`` have in the same way."""
    found = []
    for at in range(0, len(files) - tables + 1, tables):
        of_one = files[at : at + tables]
        if len({(file.start_block, file.end_block) for file in of_one}) > 1:
            break
        if len({file.revision_id for file in of_one}) < tables:
            break
        found.append(Candidate(of_one))
    return found


def choose(candidates: Sequence[Candidate], limits: CompactionLimits) -> Choice:
    """Return what is to be compacted of ``candidates`` (ascending, the oldest first).

    A group ends before a segment that is large, does not hang on it, or would make it too large; then it is compacted
    however small it is, and there will be no more to do there.
    """
    group: list[Candidate] = []
    done_to: int | None = None
    for each in candidates:
        if not each.is_cool:
            break
        if group and _ends(group, each, limits):
            if len(group) > 1:
                return Choice(group, done_to)
            done_to, group = each.start_block, []
        if each.bytes >= limits.target_bytes // 2:
            done_to = each.end_block + 1
        else:
            group.append(each)
    return Choice(group if len(group) >= limits.fewest else (), done_to)


def _ends(group: Sequence[Candidate], following: Candidate, limits: CompactionLimits) -> bool:
    last = group[-1].files[0]
    hangs = following.start_block == last.end_block + 1 and following.files[0].start_parent_hash == last.end_hash
    is_large = following.bytes >= limits.target_bytes // 2
    return not hangs or is_large or sum(each.bytes for each in (*group, following)) > limits.target_bytes
