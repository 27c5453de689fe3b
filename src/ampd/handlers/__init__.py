"""Your own kinds of jobs: the public face for packages that bring handlers (docs/how-to/own-handlers.md).

A handler is an async function, or a class with an async ``run``, that takes a pydantic model and a
:class:`HandlerContext`, and returns the job's result::

    class Greeting(BaseModel):
        name: str

    async def greet(job: Greeting, context: HandlerContext) -> dict[str, str]:
        return {"said": f"Hello, {job.name}"}

The package names it in the entry point group ``ampd.handlers``; the name there is the kind.
"""

from __future__ import annotations

from ampd.handlers.context import HandlerContext, JobStoppedError
from ampd.handlers.discovery import ENTRY_POINT_GROUP, RESERVED_KINDS, Discovered, FailedHandler, discover
from ampd.handlers.kinds import FatalError, InputKind, Kind, RecoverableError, kind_of
from ampd.handlers.secrets import hide_by_names
from ampd.handlers.typed import TypedHandler

__all__ = [
    "ENTRY_POINT_GROUP",
    "RESERVED_KINDS",
    "Discovered",
    "FailedHandler",
    "FatalError",
    "HandlerContext",
    "InputKind",
    "JobStoppedError",
    "Kind",
    "RecoverableError",
    "TypedHandler",
    "discover",
    "hide_by_names",
    "kind_of",
]
