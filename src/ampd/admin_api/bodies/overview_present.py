"""From what the stores give of the whole cluster to what the overview shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ampd.admin_api.bodies.overview_models import (
    DatasetLagBody,
    FailureBody,
    OverviewHistoryBody,
    OverviewWorkerBody,
    ThroughputBody,
)
from ampd.admin_api.bodies.timestamps import both_forms
from ampd.admin_api.deployment import DATASET_KINDS
from ampd.data_store import DatasetLag, LakeTrend, Throughput
from ampd.jobs import Failure, JobTrend, Worker

MOST_POINTS: Final = 240
_MINUTE: Final = 60


def throughput_body(throughput: Throughput) -> ThroughputBody:
    """Return how fast the lake grows."""
    return ThroughputBody(
        blocks_per_second=throughput.blocks, rows_per_second=throughput.rows, bytes_per_second=throughput.bytes
    )


def lag_body(lag: DatasetLag) -> DatasetLagBody:
    """Return how far a job is with a dataset."""
    return DatasetLagBody(
        dataset=f"{lag.namespace}/{lag.name}",
        manifest_hash=lag.manifest_hash,
        network=lag.network,
        job_id=lag.job_id,
        front_block=lag.front_block,
        head_block=lag.head_block,
        lag_blocks=lag.lag_blocks,
    )


def failure_body(failure: Failure) -> FailureBody:
    """Return an execution that has failed."""
    error = failure.error or {}
    return FailureBody(
        job_id=failure.job_id,
        execution=failure.execution,
        dataset=_dataset(failure),
        kind=failure.kind,
        **both_forms("at", failure.at),
        error_code=error.get("error_code"),
        error_message=error.get("error_message"),
    )


def _dataset(failure: Failure) -> str | None:
    # Inputs of other kinds may use the same words for something else.
    if failure.kind not in DATASET_KINDS or "dataset_name" not in failure.input:
        return None
    return f"{failure.input['dataset_namespace']}/{failure.input['dataset_name']}"


def worker_state(worker: Worker) -> str:
    """Return ``live``, ``draining`` or ``dead``, as metrics call it, too."""
    if not worker.live:
        return "dead"
    return "draining" if worker.draining else "live"


def overview_worker_body(worker: Worker, now: datetime) -> OverviewWorkerBody:
    """Return a worker at a moment of the database's clock."""
    version = worker.info.get("version")
    return OverviewWorkerBody(
        node_id=worker.node_id,
        state=worker_state(worker),
        version=version if isinstance(version, str) and version else "unknown",
        slots=worker.slots,
        used_slots=worker.running_jobs,
        heartbeat_age_seconds=max(0.0, (now - worker.heartbeat_at).total_seconds()),
    )


def steps_until(now: datetime, minutes: int) -> tuple[int, int, int]:
    """Return where the first step of the last ``minutes`` begins (Unix seconds), how many seconds each has, and how
    many there are. Steps begin at multiples of their length, so that they stay the same from one look to the next.
    """
    step = _MINUTE * math.ceil(minutes / MOST_POINTS)
    last_minute = int(now.timestamp()) // _MINUTE * _MINUTE - _MINUTE  # the last one that is over
    last = last_minute // step * step
    points = math.ceil(minutes * _MINUTE / step)
    return last - (points - 1) * step, step, points


def history_body(
    since: int, step_seconds: int, jobs: Sequence[JobTrend | None], lake: Sequence[LakeTrend]
) -> OverviewHistoryBody:
    """Return the columns of the charts."""
    return OverviewHistoryBody(
        step_seconds=step_seconds,
        at=[since + number * step_seconds for number in range(len(jobs))],
        blocks_per_second=[_rate(each.blocks, each) for each in lake],
        rows_per_second=[_rate(each.rows, each) for each in lake],
        bytes_per_second=[_rate(each.bytes, each) for each in lake],
        lag_blocks=[each.lag_blocks for each in lake],
        retries=[None if each is None else each.retries for each in jobs],
        failures=[None if each is None else each.failures for each in jobs],
        duration_p50_seconds=[None if each is None else each.duration(0.5) for each in jobs],
        duration_p95_seconds=[None if each is None else each.duration(0.95) for each in jobs],
    )


def _rate(count: int | None, of: LakeTrend) -> float | None:
    return None if count is None else count / (_MINUTE * of.minutes)
