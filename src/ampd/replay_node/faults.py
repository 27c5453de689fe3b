"""Faults that a replay node puts into its answers, so that tests see what a client makes of them.

A node is given one function, ``Callable[[RpcCall], Fault | None]``: it sees every valid call before it is answered and
returns the fault for this answer, or None for the true one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RpcCall:
    """A JSON-RPC call as it came in. ``sequence`` counts the node's calls from 0, those of batches one by one."""

    method: str
    params: list[Any]
    sequence: int


@dataclass(frozen=True)
class HttpAnswer:
    """Answer the HTTP request (a batch as a whole) with this, for example 429 with ``Retry-After``."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/html"


@dataclass(frozen=True)
class ErrorAnswer:
    """Answer the call with a JSON-RPC error."""

    code: int
    message: str
    data: Any = None


@dataclass(frozen=True)
class ReplaceResult:
    """Answer the call with this JSON value as its result; ``None`` is the ``null`` of what does not exist."""

    result: Any


@dataclass(frozen=True)
class ChangeResult:
    """Answer the call with what ``change`` returns for the true result (parsed JSON, which it may alter)."""

    change: Callable[[Any], Any]


@dataclass(frozen=True)
class DropConnection:
    """Close the connection without an answer, or after this many bytes of the answer's body."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class Delay:
    """Wait before the call is answered, then go on with ``then`` or with the true answer."""

    seconds: float
    then: Fault | None = None


@dataclass(frozen=True)
class ChangeBatch:
    """Answer a batch with what ``change`` returns for the list of its answers (parsed JSON, which it may alter)."""

    change: Callable[[list[Any]], Any]


Fault = HttpAnswer | ErrorAnswer | ReplaceResult | ChangeResult | DropConnection | Delay
FaultChooser = Callable[[RpcCall], Fault | None]
# Sees how many batches came before, and the answers that this one is about to get.
BatchFaultChooser = Callable[[int, list[Any]], ChangeBatch | None]
