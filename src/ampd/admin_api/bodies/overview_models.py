"""What the overview answers, as the specification shows it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field

from ampd.admin_api.bodies.models import HASH, INSTANT, Timestamp, example
from ampd.admin_api.bodies.strict import Strict

DEFAULT_MINUTES: Final = 60
MOST_MINUTES: Final = 10_080
_INSTANT_MS: Final = 1772618400000


class OverviewJobsBody(BaseModel):
    """How many jobs are in each state, and how many executions have failed within a day."""

    by_state: dict[str, int]
    failed_last_day: int


class ThroughputBody(BaseModel):
    """What came to count in the lake per second, over the last minute."""

    blocks_per_second: float
    rows_per_second: float
    bytes_per_second: float


class DatasetLagBody(BaseModel):
    """How far a job is with a dataset. ``lag_blocks`` counts to the last block that it is to reach and can."""

    dataset: str = Field(description="namespace/name")
    manifest_hash: str
    network: str | None
    job_id: int | None
    front_block: int | None = Field(description="up to this block all tables have everything; null: they have nothing")
    head_block: int | None = Field(description="the newest block that the job may take, when it last asked")
    lag_blocks: int | None


class FailureBody(BaseModel):
    """An execution that has failed for good. ``dataset`` is null for jobs that are of none."""

    job_id: int
    execution: int
    dataset: str | None = Field(description="namespace/name")
    kind: str
    at: Timestamp
    at_ms: int
    error_code: str | None
    error_message: str | None


class OverviewWorkerBody(BaseModel):
    """A worker. ``state`` is ``live``, ``draining`` or ``dead``."""

    node_id: str
    state: str
    version: str
    slots: int
    used_slots: int
    heartbeat_age_seconds: float


_EXAMPLE: dict[str, Any] = {
    "at": INSTANT,
    "at_ms": _INSTANT_MS,
    "jobs": {"by_state": {"SCHEDULED": 3, "RUNNING": 2, "COMPLETED": 120, "FAILED": 1}, "failed_last_day": 1},
    "throughput": {"blocks_per_second": 215.5, "rows_per_second": 91000.0, "bytes_per_second": 1900000.0},
    "datasets": [
        {
            "dataset": "ethereum/mainnet",
            "manifest_hash": HASH,
            "network": "mainnet",
            "job_id": 42,
            "front_block": 21500000,
            "head_block": 21500012,
            "lag_blocks": 12,
        }
    ],
    "failures": [
        {
            "job_id": 17,
            "execution": 1,
            "dataset": None,
            "kind": "http",
            "at": INSTANT,
            "at_ms": _INSTANT_MS,
            "error_code": "HTTP_STATUS",
            "error_message": "the target answered with 500",
        }
    ],
    "workers": [
        {
            "node_id": "worker-01",
            "state": "live",
            "version": "0.1.0",
            "slots": 4,
            "used_slots": 2,
            "heartbeat_age_seconds": 0.4,
        }
    ],
    "worker_count": 1,
}


class OverviewBody(BaseModel):
    """The whole cluster at one glance, as far as the token of the request sees it."""

    model_config = example(_EXAMPLE)

    at: Timestamp
    at_ms: int
    jobs: OverviewJobsBody
    throughput: ThroughputBody
    datasets: list[DatasetLagBody] = Field(description="those that lag most first, 20 at most")
    failures: list[FailureBody] = Field(description="the newest first, 20 at most")
    workers: list[OverviewWorkerBody] = Field(description="the oldest heartbeat first, 50 at most")
    worker_count: int


class OverviewHistoryQuery(Strict):
    """Query parameters of GET /overview/history."""

    minutes: int = Field(default=DEFAULT_MINUTES, ge=5, le=MOST_MINUTES, description="how far back it begins")


class OverviewHistoryBody(BaseModel):
    """Columns of equal length, a value for each step, the oldest first; null where nothing is known of a step: no
    controller was there to count, or nothing ended whose duration there would be.
    """

    model_config = example(
        {
            "step_seconds": 60,
            "at": [1772618280, 1772618340],
            "blocks_per_second": [210.0, None],
            "rows_per_second": [90000.0, None],
            "bytes_per_second": [1800000.0, None],
            "lag_blocks": [12, 13],
            "retries": [0, None],
            "failures": [1, None],
            "duration_p50_seconds": [3.2, None],
            "duration_p95_seconds": [9.1, None],
        }
    )

    step_seconds: int
    at: list[int] = Field(description="where each step begins: Unix seconds, 240 at most")
    blocks_per_second: list[float | None]
    rows_per_second: list[float | None]
    bytes_per_second: list[float | None]
    lag_blocks: list[int | None] = Field(description="the largest lag of a table that was seen")
    retries: list[int | None] = Field(description="attempts that ended to be tried again")
    failures: list[int | None] = Field(description="executions that failed for good")
    duration_p50_seconds: list[float | None] = Field(
        description="of executions that completed or failed in the step, with an error of 4.5 % at most"
    )
    duration_p95_seconds: list[float | None]
