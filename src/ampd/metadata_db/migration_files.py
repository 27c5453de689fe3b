"""Migration files: in which phase of an upgrade each is applied, and which ampd works with what it leaves behind.

A file says so in comments at its head, beside yoyo's ``-- depends:``:

- ``-- phase: pre`` adds and takes nothing away: it is applied while processes of the version before are at work;
- ``-- phase: post`` takes away what the version before needed: it is applied when none of these is left. It names the
  oldest ampd that works with the result: ``-- oldest-version: 0.2.0``. A pre migration may, too.

The files of the first release have no phase. They were never applied while another version was at work, and an ampd
that does not know one of them refuses the database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yoyo

from ampd.errors import AmpError, ErrorCode

_HEAD = re.compile(r"^--\s*(phase|oldest-version)\s*:\s*(\S.*?)\s*$")
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)")

Version = tuple[int, ...]


class Phase(StrEnum):
    """When a migration is applied: before the processes of the last version end, or after."""

    PRE = "pre"
    POST = "post"


@dataclass(frozen=True)
class MigrationFile:
    """A migration. ``phase`` is None for those of the first release; ``yoyo`` is what applies it."""

    id: str
    phase: Phase | None
    oldest_version: str | None
    yoyo: Any

    @property
    def is_post(self) -> bool:
        """Tell whether it waits for the end of older processes."""
        return self.phase is Phase.POST


def read_migration_files(source: str) -> list[MigrationFile]:
    """Return the migrations of ``source`` in the order in which they are applied: by what they depend on, and those of
    the phase post last.

    :raises AmpError: METADATA_DB_MIGRATION_FAILED for a head that cannot be right.
    """
    known = yoyo.read_migrations(source)
    files = [_read(each) for each in yoyo.migrations.topological_sort(known)]
    return sorted(files, key=lambda file: file.is_post)


def parse_version(text: str | None) -> Version | None:
    """Return the numbers of ``0.2.0`` or ``v0.2.0-5-gabc``; None when there are none."""
    found = _VERSION.match(text or "")
    return tuple(int(part) for part in found[1].split(".")) if found else None


def is_older(version: str | None, oldest: str) -> bool:
    """Tell whether ``version`` is older than ``oldest``; one that nobody knows is."""
    numbers, least = parse_version(version), parse_version(oldest)
    return numbers is None or (least is not None and numbers < least)


def _read(migration: Any) -> MigrationFile:
    migration.load()
    head = dict(_head_lines(migration.source))
    phase, oldest = head.get("phase"), head.get("oldest-version")
    if phase not in (None, *Phase):
        raise _wrong(migration.id, f"its phase is {phase!r}; it must be pre or post")
    if oldest is not None and parse_version(oldest) is None:
        raise _wrong(migration.id, f"its oldest-version is {oldest!r}; it must be a version, as in 0.2.0")
    if phase == Phase.POST and oldest is None:
        raise _wrong(migration.id, "it takes something away and does not say since which version nobody needs it: add "
                     "'-- oldest-version: X.Y.Z' at its head")  # fmt: skip
    return MigrationFile(migration.id, Phase(phase) if phase else None, oldest, migration)


def _head_lines(source: str) -> list[tuple[str, str]]:
    found = []
    for line in source.splitlines():
        if line.strip() and not line.startswith("--"):
            break
        match = _HEAD.match(line)
        if match:
            found.append((match[1], match[2]))
    return found


def _wrong(migration_id: str, what: str) -> AmpError:
    return AmpError(ErrorCode.METADATA_DB_MIGRATION_FAILED, f"migration {migration_id} cannot be used: {what}")
