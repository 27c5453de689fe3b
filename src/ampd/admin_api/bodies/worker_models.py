"""What is told of one worker: also which blocks it has in hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, Field

from ampd.admin_api.bodies.models import LATER, WORKER_EXAMPLE, JsonObject, Timestamp, WorkerBody, example
from ampd.admin_api.bodies.present import worker_body
from ampd.admin_api.bodies.timestamps import rfc3339
from ampd.data_store import RangeInHand
from ampd.jobs import Worker

_RANGE: Final[JsonObject] = {
    "job_id": 42,
    "dataset": {"namespace": "ethereum", "name": "mainnet"},
    "start_block": 17000000,
    "end_block": 17000999,
    "state": "READING",
    "leased_at": LATER,
}


class RangeDataset(BaseModel):
    """The dataset whose blocks they are."""

    namespace: str
    name: str


class WorkerRangeBody(BaseModel):
    """A range of blocks, both ends included, that a worker has in hand, for one of its own jobs or for that of another
    worker. What is committed has gone from it: it begins behind that.
    """

    model_config = example(_RANGE)

    job_id: int
    dataset: RangeDataset
    start_block: int
    end_block: int
    state: str = Field(description="READING or WRITING")
    leased_at: Timestamp


class WorkerDetailsBody(WorkerBody):
    """A worker, and the ranges of blocks that it has in hand, by job and block."""

    model_config = example({**WORKER_EXAMPLE, "ranges": [_RANGE]})

    ranges: list[WorkerRangeBody]


def worker_details_body(worker: Worker, ranges: Iterable[RangeInHand]) -> WorkerDetailsBody:
    """Return a worker as it is shown alone."""
    shown = [
        WorkerRangeBody(
            job_id=each.job_id,
            dataset=RangeDataset(namespace=each.namespace, name=each.name),
            start_block=each.start_block,
            end_block=each.end_block,
            state=each.state,
            leased_at=rfc3339(each.leased_at),
        )
        for each in ranges
    ]
    return WorkerDetailsBody(**worker_body(worker).model_dump(), ranges=shown)
