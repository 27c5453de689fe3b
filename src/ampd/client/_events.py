"""Worker events in the client: what they are, and the stream of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ampd.client._errors import ApiError
from ampd.client._transport import AsyncTransport, StreamCall, SyncTransport
from ampd.errors import ErrorCode

Json = dict[str, Any]
OnInterruption = Callable[[ApiError], None]

# The server says something at least every 15 seconds.
_SILENCE_SECONDS: Final = 45.0
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
# What passes by itself, once there was a stream.
_PASSING: Final = frozenset(
    {
        ErrorCode.ADMIN_API_UNREACHABLE,
        ErrorCode.METADATA_DB_UNREACHABLE,
        ErrorCode.TOO_MANY_STREAMS,
        ErrorCode.RATE_LIMITED,
    }
)


@dataclass(frozen=True)
class WorkerEvent:
    """Something that happened to a table that a job writes.

    ``id`` is its place in the log, behind which :meth:`Events.stream` can go on; ``event_id`` its name, also in Kafka.
    ``type``: ``sync.started``, ``sync.progress``, ``sync.completed`` or ``sync.failed``. ``current_block``: all blocks
    to this one are there. What does not belong to the type is None.
    """

    id: int
    event_id: str
    type: str
    timestamp: datetime
    worker_id: str
    job_id: int
    dataset: str
    manifest_hash: str
    table: str
    start_block: int | None
    current_block: int | None
    end_block: int | None
    files_count: int | None
    total_size_bytes: int | None
    duration_ms: int | None
    error_message: str | None
    error_type: str | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> WorkerEvent:
        """Read the data of an event of the stream."""
        told = data[data["event_type"].replace(".", "_")]
        progress = told.get("progress", told)
        return cls(
            id=data["id"],
            event_id=data["event_id"],
            type=data["event_type"],
            timestamp=datetime.fromtimestamp(data["timestamp_ms"] / 1000, UTC),
            worker_id=data["source"]["worker_id"],
            job_id=told["job_id"],
            dataset=f"{told['dataset']['namespace']}/{told['dataset']['name']}",
            manifest_hash=told["dataset"]["manifest_hash"],
            table=told["table_name"],
            start_block=progress.get("start_block"),
            current_block=progress.get("current_block", told.get("final_block")),
            end_block=progress.get("end_block"),
            files_count=progress.get("files_count"),
            total_size_bytes=progress.get("total_size_bytes"),
            duration_ms=told.get("duration_millis"),
            error_message=told.get("error_message"),
            error_type=told.get("error_type"),
            raw=data,
        )


class _Position:
    """Where a stream is, and what to ask for to go on there."""

    def __init__(self, after: int | str | None, params: Json, on_interruption: OnInterruption | None) -> None:
        self._params = params if after is None else params | {"after": str(after)}
        self._on_interruption = on_interruption
        self._last_id: str | None = None
        self._failures = 0
        self._lines: list[str] = []

    def call(self) -> StreamCall:
        headers = {} if self._last_id is None else {"Last-Event-ID": self._last_id}
        self._lines = []
        return StreamCall("/events", self._params, headers, _SILENCE_SECONDS)

    def feed(self, line: str) -> WorkerEvent | None:
        """Take a line; return the event that it ends, if it does."""
        if line:
            self._lines.append(line)
            return None
        fields = dict(_fields(self._lines))
        self._lines = []
        self._failures = 0
        event = None
        if "data" in fields:
            try:
                event = WorkerEvent.from_json(json.loads(fields["data"]))
            except (ValueError, KeyError, TypeError) as error:
                what = f"an event of the stream is none of this version: {type(error).__name__}: {error}"
                raise ApiError(ErrorCode.UNEXPECTED_ANSWER, what) from error
        self._last_id = fields.get("id", self._last_id)
        return event

    def pause_after(self, error: ApiError) -> float:
        """Return how long to wait until the next try.

        :raises ApiError: ``error``, when that does not pass, or there never was a stream.
        """
        if self._last_id is None or error.code not in _PASSING:
            raise error
        if not self._failures and self._on_interruption is not None:
            self._on_interruption(error)
        self._failures += 1
        return _PAUSES[min(self._failures, len(_PAUSES)) - 1]


def _fields(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            yield name, value.removeprefix(" ")


def _ended() -> ApiError:
    return ApiError(ErrorCode.ADMIN_API_UNREACHABLE, "the stream of events has ended, as when a controller ends")


def _params(
    types: Sequence[str] | None,
    *,
    namespace: str | None,
    dataset: str | None,
    table: str | None,
    job_id: int | None,
    follow: bool,
) -> Json:
    given = {
        "event_type": None if types is None else ",".join(types),
        "namespace": namespace,
        "dataset": dataset,
        "table": table,
        "job_id": job_id,
        "follow": None if follow else "false",
    }
    return {name: value for name, value in given.items() if value is not None}


class Events:
    """Worker events: what happens to the tables that jobs write."""

    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport

    def stream(
        self,
        *,
        after: int | str | None = None,
        types: Sequence[str] | None = None,
        namespace: str | None = None,
        dataset: str | None = None,
        table: str | None = None,
        job_id: int | None = None,
        follow: bool = True,
        on_interruption: OnInterruption | None = None,
    ) -> Iterator[WorkerEvent]:
        """Go through events as they happen, without an end; with ``follow=False`` only through those that are there.

        ``after``: begin behind an event, named by its ``id`` or ``event_id``; ``"start"`` is all that is kept; only
        what comes from now on, unless given. When the connection is lost (a controller that is started again) it is
        made anew, and nothing is left out or told twice; ``on_interruption`` is called with the reason.
        """
        wanted = _params(types, namespace=namespace, dataset=dataset, table=table, job_id=job_id, follow=follow)
        position = _Position(after, wanted, on_interruption)
        while True:
            try:
                with self._transport.lines(position.call()) as lines:
                    for line in lines:
                        event = position.feed(line)
                        if event is not None:
                            yield event
                if not follow:
                    return
                raise _ended()
            except ApiError as error:
                pause = position.pause_after(error)
            time.sleep(pause)


class AsyncEvents:
    """Worker events: what happens to the tables that jobs write."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def stream(
        self,
        *,
        after: int | str | None = None,
        types: Sequence[str] | None = None,
        namespace: str | None = None,
        dataset: str | None = None,
        table: str | None = None,
        job_id: int | None = None,
        follow: bool = True,
        on_interruption: OnInterruption | None = None,
    ) -> AsyncIterator[WorkerEvent]:
        """Go through events as they happen, without an end; with ``follow=False`` only through those that are there.

        ``after``: begin behind an event, named by its ``id`` or ``event_id``; ``"start"`` is all that is kept; only
        what comes from now on, unless given. When the connection is lost (a controller that is started again) it is
        made anew, and nothing is left out or told twice; ``on_interruption`` is called with the reason.
        """
        wanted = _params(types, namespace=namespace, dataset=dataset, table=table, job_id=job_id, follow=follow)
        position = _Position(after, wanted, on_interruption)
        while True:
            try:
                async with self._transport.lines(position.call()) as lines:
                    async for line in lines:
                        event = position.feed(line)
                        if event is not None:
                            yield event
                if not follow:
                    return
                raise _ended()
            except ApiError as error:
                pause = position.pause_after(error)
            await asyncio.sleep(pause)
