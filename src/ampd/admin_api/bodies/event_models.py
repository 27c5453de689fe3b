"""Worker events as the Admin API tells them: the messages of the topic as JSON, by the names of their fields."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from ampd.admin_api.bodies.shapes import DATASET, shaped
from ampd.admin_api.bodies.strict import MAX_INT64, Strict
from ampd.admin_api.bodies.timestamps import both_forms
from ampd.datasets import DatasetName
from ampd.errors import AmpError, ErrorCode
from ampd.worker_events import EVENT_VERSION, START, EventFilter, EventType, WorkerEvent


class EventSourceBody(BaseModel):
    """Who had the job."""

    worker_id: str


class EventDatasetBody(BaseModel):
    """A dataset at a manifest."""

    namespace: str
    name: str
    manifest_hash: str


class _AboutTableBody(BaseModel):
    job_id: int
    dataset: EventDatasetBody
    table_name: str


class SyncStartedBody(_AboutTableBody):
    """An attempt begins to write a table. ``end_block`` is missing when the job follows the chain."""

    start_block: int
    end_block: int | None = None


class EventProgressBody(BaseModel):
    """How far the contiguous blocks of a table reach."""

    start_block: int
    current_block: int
    end_block: int | None = None
    files_count: int
    total_size_bytes: int


class SyncProgressBody(_AboutTableBody):
    """A table has more contiguous blocks than before."""

    progress: EventProgressBody


class SyncCompletedBody(_AboutTableBody):
    """A table has all blocks that its job wants. The duration is that of the last attempt."""

    final_block: int
    duration_millis: int


class SyncFailedBody(_AboutTableBody):
    """An attempt has failed; the job may be tried again. ``error_type`` is an error code."""

    error_message: str
    error_type: str | None = None


class WorkerEventBody(BaseModel):
    """The data of one event of the stream, with the payload of its type."""

    id: int = Field(description="its place in the log, and the id of the event of the stream")
    event_id: str = Field(description="its name, also in Kafka: UUID, version 7")
    event_type: EventType
    event_version: str
    timestamp: str
    timestamp_ms: int
    source: EventSourceBody
    sync_started: SyncStartedBody | None = None
    sync_progress: SyncProgressBody | None = None
    sync_completed: SyncCompletedBody | None = None
    sync_failed: SyncFailedBody | None = None


def event_json(event: WorkerEvent) -> dict[str, Any]:
    """Return the JSON of an event: a :class:`WorkerEventBody` without what is not there."""
    name, own = _PAYLOADS[event.event_type]
    dataset = {
        "namespace": event.dataset_namespace,
        "name": event.dataset_name,
        "manifest_hash": event.manifest_hash,
    }
    about = {"job_id": event.job_id, "dataset": dataset, "table_name": event.table_name}
    return {
        "id": event.id,
        "event_id": str(event.event_id),
        "event_type": str(event.event_type),
        "event_version": EVENT_VERSION,
        **both_forms("timestamp", event.created_at),
        "source": {"worker_id": event.worker_id},
        name: about | own(event),
    }


def _started(event: WorkerEvent) -> dict[str, Any]:
    return {"start_block": event.start_block, **_end(event)}


def _progress(event: WorkerEvent) -> dict[str, Any]:
    told = {
        "start_block": event.start_block,
        "current_block": event.current_block,
        **_end(event),
        "files_count": event.files_count,
        "total_size_bytes": event.total_size_bytes,
    }
    return {"progress": told}


def _completed(event: WorkerEvent) -> dict[str, Any]:
    return {"final_block": event.current_block or 0, "duration_millis": event.duration_ms}


def _failed(event: WorkerEvent) -> dict[str, Any]:
    told = {"error_message": event.error_message}
    return told if event.error_type is None else told | {"error_type": event.error_type}


def _end(event: WorkerEvent) -> dict[str, Any]:
    return {} if event.end_block is None else {"end_block": event.end_block}


_PAYLOADS: Any = {
    EventType.STARTED: ("sync_started", _started),
    EventType.PROGRESS: ("sync_progress", _progress),
    EventType.COMPLETED: ("sync_completed", _completed),
    EventType.FAILED: ("sync_failed", _failed),
}


_ONE_TYPE = f"(?:{'|'.join(map(re.escape, EventType))})"
_TYPES = {"pattern": rf"^\s*{_ONE_TYPE}\s*(?:,\s*{_ONE_TYPE}\s*)*$"}


class EventStreamQuery(Strict):
    """Query parameters of GET /events."""

    after: str | None = Field(
        default=None,
        max_length=64,
        description=f"go on behind this event: its id or event_id; '{START}' is all that is kept. Only what comes from "
        "now on, unless given. The header Last-Event-ID wins",
    )
    event_type: Annotated[str, shaped(_TYPES)] | None = Field(
        default=None, description=f"only these types, with commas between: {', '.join(EventType)}"
    )
    namespace: str | None = Field(default=None, description="only events of datasets in this namespace")
    dataset: Annotated[str, shaped(DATASET)] | None = Field(
        default=None, description="only events of this dataset: namespace/name"
    )
    table: str | None = Field(default=None, description="only events of tables of this name")
    job_id: Annotated[int, Field(ge=1, le=MAX_INT64)] | None = Field(default=None, description="only this job's")
    follow: bool = Field(default=True, description="false: the stream ends when all that there is was told")

    def wanted(self) -> EventFilter:
        """Return the filter.

        :raises AmpError: INVALID_QUERY_PARAMETERS.
        """
        namespace, name = self.namespace, None
        if self.dataset is not None:
            dataset = _dataset(self.dataset)
            if namespace not in {None, dataset.namespace}:
                raise _invalid(f"namespace: {namespace!r} is not that of dataset {self.dataset!r}")
            namespace, name = dataset.namespace, dataset.name
        types = None if self.event_type is None else _types(self.event_type)
        return EventFilter(types, namespace, name, self.table, self.job_id)


EventStreamParameters = Annotated[EventStreamQuery, Query()]


def _dataset(text: str) -> DatasetName:
    try:
        return DatasetName.parse(text)
    except AmpError as error:
        raise _invalid(f"dataset: {error.message}") from None


def _types(text: str) -> tuple[EventType, ...]:
    try:
        return tuple(EventType(word.strip()) for word in text.split(","))
    except ValueError:
        raise _invalid(f"event_type: want some of {', '.join(EventType)}, with commas between") from None


def _invalid(message: str) -> AmpError:
    return AmpError(ErrorCode.INVALID_QUERY_PARAMETERS, message)
