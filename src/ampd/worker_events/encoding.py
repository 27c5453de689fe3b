"""Events as the topic carries them: protobuf, key and partition (worker_events.proto)."""

from __future__ import annotations

from typing import Any, Final

from ampd.worker_events import worker_events_pb2 as pb
from ampd.worker_events.models import EVENT_VERSION, EventType, WorkerEvent

_PAYLOADS: Final = {
    EventType.STARTED: "sync_started",
    EventType.PROGRESS: "sync_progress",
    EventType.COMPLETED: "sync_completed",
    EventType.FAILED: "sync_failed",
}


def encode_event(event: WorkerEvent) -> bytes:
    """Return the bytes of an ``amp.worker.events.v1.WorkerEvent``; the same for every try to send it."""
    message = pb.WorkerEvent(
        event_id=str(event.event_id),
        event_type=str(event.event_type),
        event_version=EVENT_VERSION,
        timestamp=event.timestamp,
        source=pb.EventSource(worker_id=event.worker_id),
        **{_PAYLOADS[event.event_type]: _payload(event)},
    )
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def _payload(event: WorkerEvent) -> Any:
    common: dict[str, Any] = {
        "job_id": event.job_id,
        "dataset": pb.DatasetInfo(
            namespace=event.dataset_namespace, name=event.dataset_name, manifest_hash=event.manifest_hash
        ),
        "table_name": event.table_name,
    }
    if event.event_type is EventType.STARTED:
        return pb.SyncStarted(**common, start_block=event.start_block, end_block=event.end_block)
    if event.event_type is EventType.PROGRESS:
        return pb.SyncProgress(**common, progress=_progress(event))
    if event.event_type is EventType.COMPLETED:
        return pb.SyncCompleted(**common, final_block=event.current_block, duration_millis=event.duration_ms)
    return pb.SyncFailed(**common, error_message=event.error_message, error_type=event.error_type)


def _progress(event: WorkerEvent) -> pb.ProgressInfo:
    return pb.ProgressInfo(
        start_block=event.start_block,
        current_block=event.current_block,
        end_block=event.end_block,
        files_count=event.files_count,
        total_size_bytes=event.total_size_bytes,
    )


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key among ``partitions``, as the reference system chooses it: the sum of the key's
    bytes, in 32 bits. Kafka's own choice is another one.
    """
    return (sum(key.encode()) & 0xFFFFFFFF) % partitions
