"""How buckets are reached. Nothing in here is secret."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoreSettings:
    """How buckets are reached; directories need none of it.

    ``endpoint``, ``region``, ``path_style`` and ``profile`` are for ``s3://``; where they are None, the environment
    decides. ``timeout_seconds`` is for one request, from its first byte to the last of its answer. What fails in
    passing is tried again for ``retry_seconds``, with growing pauses, so that an operation ends within the sum of both
    and a little.
    """

    endpoint: str | None = None
    region: str | None = None
    path_style: bool = True
    allow_http: bool = False
    profile: str | None = None
    timeout_seconds: float = 30.0
    retry_seconds: float = 30.0
