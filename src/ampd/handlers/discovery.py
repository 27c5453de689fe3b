"""Finds the handlers that installed packages bring."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import structlog

from ampd.errors import describe_exception
from ampd.handlers.kinds import KIND_NAME, Kind, kind_of

ENTRY_POINT_GROUP: Final = "ampd.handlers"
# Kinds that ampd brings.
RESERVED_KINDS: Final = frozenset({"extraction", "verification", "compaction", "http"})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FailedHandler:
    """A handler that is not there, the entry point that names it, and why."""

    kind: str
    source: str
    reason: str


@dataclass(frozen=True)
class Discovered:
    """The kinds that packages bring, by name, and those that they promise only."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    failed: list[FailedHandler] = field(default_factory=list)


def discover() -> Discovered:
    """Import the handlers of all installed packages. One that cannot be used is told of in the log as an error, and
    left out: the others go on without it (docs/decisions/0020).
    """
    by_kind: dict[str, list[EntryPoint]] = defaultdict(list)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        by_kind[entry.name].append(entry)
    found = Discovered()
    for kind, entries in sorted(by_kind.items()):
        _add(found, kind, entries)
    for failed in found.failed:
        _log.error(
            "handler.not_loaded",
            kind=failed.kind,
            source=failed.source,
            reason=failed.reason,
            meaning="this process goes on without the handler: jobs of this kind wait for a worker that has it",
        )
    return found


def _add(found: Discovered, kind: str, entries: list[EntryPoint]) -> None:
    source = " and ".join(sorted(_source(entry) for entry in entries))
    if not KIND_NAME.fullmatch(kind):
        reason = "want a small letter, then at most 62 small letters, digits, '_', '-' and '.' as the name of a kind"
    elif kind in RESERVED_KINDS:
        reason = f"'{kind}' is a kind of ampd itself: choose another name"
    elif len({entry.value for entry in entries}) > 1:
        reason = "several packages bring this kind: uninstall all but one"
    else:
        try:
            found.kinds[kind] = kind_of(kind, entries[0].load(), source=source)
            return
        except Exception as error:  # whatever a module does when it is imported
            _log.debug("handler.import_failed", kind=kind, exc_info=True)
            reason = f"{type(error).__name__}: {describe_exception(error)}"
    found.failed.append(FailedHandler(kind, source, reason))


def _source(entry: EntryPoint) -> str:
    package = "an unnamed package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    return f"{entry.value} ({package})"
