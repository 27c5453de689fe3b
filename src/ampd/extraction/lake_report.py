"""What a verification of a lake has found so far: its progress, its checkpoint, and in the end its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from ampd.chain.commitments import Verification
from ampd.data_store import LakeFile

# How many violations are kept in full; all are counted.
MOST_KEPT: Final = 20
# Reasons for not checking are few; a chain that gives more cannot fill the database with them.
MOST_REASONS: Final = 100


class LakeCommitment(StrEnum):
    """What the files of a lake must agree with, beside what their rows commit to."""

    FILE_CONTENT = "file_content"
    """A file that counts is there, whole, and the one that was registered."""
    BLOCK_COVERAGE = "block_coverage"
    """Every table has a file for every block."""
    SEGMENT_LINK = "segment_link"
    """The hashes that a file was registered with are those of its first block's parent and its last block."""


@dataclass(frozen=True)
class Finding:
    """What does not hold in the files of a lake from ``block`` on; ``detail`` says it in words."""

    block: int
    commitment: LakeCommitment
    table: str
    detail: str
    file: str | None = None

    def to_json(self) -> dict[str, str | int]:
        """Return what is known of it, as JSON values."""
        named: dict[str, str | int] = {"block": self.block, "commitment": str(self.commitment), "table": self.table}
        return named | ({} if self.file is None else {"file": self.file}) | {"detail": self.detail}


def file_finding(file: LakeFile, block: int, commitment: LakeCommitment, detail: str) -> Finding:
    """Return a finding about a file."""
    where = f"{file.path} (blocks {file.start_block} to {file.end_block})"
    return Finding(block, commitment, file.table_name, f"{where}: {detail}", file.path)


@dataclass
class LakeReport:
    """Counts and first findings of the blocks from ``start_block`` up to ``next_block`` (not included).

    ``broken_blocks`` are those with violations of their own; ``skipped_blocks`` could not be read, because a file was
    missing or damaged. ``previous_hash`` is that of the block before ``next_block``, when it was read. ``not_checked``
    counts blocks by (commitment, reason).
    """

    start_block: int
    end_block: int
    next_block: int
    verified_blocks: int = 0
    broken_blocks: int = 0
    skipped_blocks: int = 0
    violation_count: int = 0
    violations: list[dict[str, str | int]] = field(default_factory=list)
    not_checked: Counter[tuple[str, str]] = field(default_factory=Counter)
    previous_hash: bytes | None = None
    blocks_per_second: float | None = None

    def add_outcome(self, blocks: int, outcome: Verification, faults: Iterable[Finding] = ()) -> None:
        """Count what the verification of so many blocks found, and what is wrong with their files."""
        broken = len({one.block_num for one in outcome.violations})
        self.broken_blocks += broken
        self.verified_blocks += max(blocks - broken, 0)
        for one in outcome.violations:
            self._add(one.to_json())
        for fault in faults:
            self._add(fault.to_json())
        for each in outcome.not_checked:
            key = (str(each.commitment), each.reason)
            if key in self.not_checked or len(self.not_checked) < MOST_REASONS:
                self.not_checked[key] += 1

    def add_skipped(self, blocks: int, findings: Iterable[Finding]) -> None:
        """Count blocks that could not be read, and why."""
        self.skipped_blocks += blocks
        if blocks:
            self.previous_hash = None
        for finding in findings:
            self._add(finding.to_json())

    def _add(self, violation: dict[str, str | int]) -> None:
        self.violation_count += 1
        if len(self.violations) < MOST_KEPT:
            self.violations.append(violation)

    def to_json(self) -> dict[str, Any]:
        """Return the report as it is stored and shown."""
        return {
            "start_block": self.start_block,
            "end_block": self.end_block,
            "next_block": self.next_block,
            "verified_blocks": self.verified_blocks,
            "broken_blocks": self.broken_blocks,
            "skipped_blocks": self.skipped_blocks,
            "violation_count": self.violation_count,
            "violations": self.violations,
            "not_checked": [
                {"commitment": commitment, "reason": reason, "blocks": blocks}
                for (commitment, reason), blocks in sorted(self.not_checked.items())
            ],
            "previous_hash": None if self.previous_hash is None else self.previous_hash.hex(),
            "blocks_per_second": self.blocks_per_second,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LakeReport:
        """Read what :meth:`to_json` wrote."""
        previous = data["previous_hash"]
        return cls(
            **{
                **data,
                "not_checked": Counter(
                    {(each["commitment"], each["reason"]): each["blocks"] for each in data["not_checked"]}
                ),
                "previous_hash": None if previous is None else bytes.fromhex(previous),
            }
        )
