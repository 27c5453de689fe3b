"""Worker events on the wire: the bytes that consumers of the reference system read."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ampd.worker_events import EventType, WorkerEvent
from ampd.worker_events.encoding import encode_event, partition_of

ROOT = Path(__file__).resolve().parents[2]
EVENT_ID = "0199f3c0-0000-7000-8000-000000000001"
VARINT, BYTES = 0, 2


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it: seven bits in a byte, the lowest first."""
    number &= 2**64 - 1  # negative ones as 64 bits
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def number(field: int, value: int) -> bytes:
    return varint(field << 3 | VARINT) + varint(value)


def block(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | BYTES) + varint(len(data)) + data


DATASET = block(2, block(1, "ethereum") + block(2, "mainnet") + block(3, "ab" * 32))
ABOUT = number(1, 300) + DATASET + block(3, "blocks")


def envelope(event_type: str, field: int, payload: bytes) -> bytes:
    return (
        block(1, EVENT_ID)
        + block(2, event_type)
        + block(3, "1.0")
        + block(4, "2026-11-28T07:57:08.123Z")
        + block(5, block(1, "worker-01"))
        + block(field, payload)
    )


def event(event_type: EventType, **changes: Any) -> WorkerEvent:
    nothing = dict.fromkeys(
        (
            "start_block",
            "current_block",
            "end_block",
            "files_count",
            "total_size_bytes",
            "duration_ms",
            "error_message",
            "error_type",
        )
    )
    return WorkerEvent(
        **{
            "id": 7,
            "event_id": UUID(EVENT_ID),
            "event_type": event_type,
            "created_at": datetime(2026, 11, 28, 7, 57, 8, 123456, tzinfo=UTC),
            "worker_id": "worker-01",
            "job_id": 300,
            "dataset_namespace": "ethereum",
            "dataset_name": "mainnet",
            "manifest_hash": "ab" * 32,
            "table_name": "blocks",
            **nothing,
            **changes,
        }
    )


def test_a_start_has_the_bytes_of_its_field_numbers() -> None:
    made = encode_event(event(EventType.STARTED, start_block=0, end_block=2**40))
    # Optional fields are written also when they are 0: "block 0" is not "no block".
    assert made == envelope("sync.started", 10, ABOUT + number(4, 0) + number(5, 2**40))


def test_what_follows_the_chain_has_no_end_block() -> None:
    made = encode_event(event(EventType.STARTED, start_block=5))
    assert made == envelope("sync.started", 10, ABOUT + number(4, 5))
    progress = event(EventType.PROGRESS, start_block=5, current_block=9, files_count=2, total_size_bytes=300)
    told = number(1, 5) + number(2, 9) + number(5, 2) + number(6, 300)
    assert encode_event(progress) == envelope("sync.progress", 11, ABOUT + block(4, told))


def test_progress_skips_the_reserved_number() -> None:
    made = encode_event(
        event(EventType.PROGRESS, start_block=1, current_block=2, end_block=3, files_count=5, total_size_bytes=6)
    )
    told = number(1, 1) + number(2, 2) + number(3, 3) + number(5, 5) + number(6, 6)
    assert made == envelope("sync.progress", 11, ABOUT + block(4, told))


def test_a_completion_and_a_failure_have_the_bytes_of_their_field_numbers() -> None:
    completed = encode_event(event(EventType.COMPLETED, current_block=99, duration_ms=1500))
    assert completed == envelope("sync.completed", 12, ABOUT + number(4, 99) + number(5, 1500))
    failed = encode_event(event(EventType.FAILED, error_message="größer", error_type="NODE_UNREACHABLE"))
    assert failed == envelope("sync.failed", 13, ABOUT + block(4, "größer") + block(5, "NODE_UNREACHABLE"))
    assert encode_event(event(EventType.FAILED, error_message="x")) == envelope(
        "sync.failed", 13, ABOUT + block(4, "x")
    )


def test_the_partition_is_the_sum_of_the_bytes_of_the_key() -> None:
    key = event(EventType.STARTED).key
    assert key == f"ethereum/mainnet/{'ab' * 32}/blocks"
    assert partition_of(key, 16) == sum(key.encode()) % 16
    assert partition_of("ü", 7) == (0xC3 + 0xBC) % 7
    # The sum wraps at 32 bits, as it does there.
    assert partition_of("\x7f" * 33_818_641, 1000) == (0x7F * 33_818_641 - 2**32) % 1000


@pytest.mark.parametrize("name", ["worker_events_pb2.py", "worker_events_pb2.pyi"])
def test_the_module_is_what_follows_from_the_proto_file(name: str, tmp_path: Path) -> None:
    proto = "src/ampd/worker_events/worker_events.proto"
    made = ["-m", "grpc_tools.protoc", "-I", "src", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", proto]
    subprocess.run([sys.executable, *made], cwd=ROOT, check=True, capture_output=True)
    there = (ROOT / "src/ampd/worker_events" / name).read_text(encoding="utf-8")
    assert (tmp_path / "ampd/worker_events" / name).read_text(encoding="utf-8") == there, "run `make proto`"
