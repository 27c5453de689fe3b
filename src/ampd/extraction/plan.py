"""What an extraction job wants: its descriptor, and how far it goes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ampd.errors import AmpError, ErrorCode


@dataclass(frozen=True)
class ExtractionInput:
    """The descriptor of a job. ``end_block``: None (follow the chain), ``latest``, ``N`` or ``-N`` (so many before the
    latest). ``parallelism``: the most ranges that are read at once, on all workers together. ``verify``: see
    :func:`ampd.sources.verified.verified`.
    """

    namespace: str
    name: str
    manifest_hash: str
    end_block: str | None
    parallelism: int = 1
    verify: str | bool | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ExtractionInput:
        """Read what the Admin API wrote on deploy."""
        end_block = data.get("end_block")
        return cls(
            namespace=data["dataset_namespace"],
            name=data["dataset_name"],
            manifest_hash=data["manifest_hash"],
            end_block=None if end_block is None else str(end_block),
            parallelism=data.get("max_writers", 1),
            verify=data.get("verify"),
        )


def resolve_end_block(wanted: str | None, *, start_block: int, latest: int | None) -> int | None:
    """Return the last block that a job wants, None when it follows the chain for ever; ``latest`` is the chain's newest
    block.

    :raises AmpError: RESOLVE_END_BLOCK when that lies before the dataset's start, or the chain has no blocks yet.
    """
    if wanted is None:
        return None
    if wanted.isdecimal():
        end = int(wanted)
    elif latest is None:
        raise AmpError(
            ErrorCode.RESOLVE_END_BLOCK,
            f"end block {wanted!r} cannot be told: the node has no blocks yet",
            recoverable=True,
        )
    elif wanted == "latest":
        end = latest
    else:
        end = latest - int(wanted.removeprefix("-"))
    if end < start_block:
        raise AmpError(
            ErrorCode.RESOLVE_END_BLOCK,
            f"end block {wanted!r} is block {end}, before the dataset's start block {start_block}: "
            "deploy with a later --end-block",
        )
    return end
