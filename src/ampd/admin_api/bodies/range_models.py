"""The blocks of a job as the specification shows them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field

from ampd.admin_api.bodies.models import example
from ampd.admin_api.bodies.strict import Strict
from ampd.data_store import BlockState, JobRanges, StateRange

DEFAULT_RANGES: Final = 500
MOST_RANGES: Final = 2000
# What JavaScript can count.
MOST_BLOCK: Final = 2**53 - 1

Block = Annotated[int, Field(ge=0, le=MOST_BLOCK)]


class JobRangesQuery(Strict):
    """Query parameters of GET /jobs/{id}/ranges."""

    start_block: Block | None = Field(default=None, description="where the picture begins; the dataset's start")
    end_block: Block | None = Field(
        default=None, description="where it ends; the last block that the job wants, or that there is"
    )
    most: int = Field(
        default=DEFAULT_RANGES, ge=10, le=MOST_RANGES, description="how many ranges of a table there are at most"
    )


class RangeBody(BaseModel):
    """Blocks in one state. ``worker_id`` is there for those in hand, ``done_share`` for mixed ones."""

    start_block: int
    end_block: int
    state: BlockState
    worker_id: str | None = None
    done_share: float | None = Field(default=None, description="of mixed blocks, the share of those that are done")


class TableRangesBody(BaseModel):
    """The blocks of one table: its ranges leave nothing out, and no two neighbours are in the same state."""

    table: str
    ranges: list[RangeBody]


class JobRangesBody(BaseModel):
    """The blocks of a job's tables: done, in hand, missing, or orphaned by a reorg of the chain. With ``is_coarse``
    there are too many ranges: blocks are joined in parts of equal width, and parts in several states are ``mixed``.
    """

    model_config = example(
        {
            "start_block": 0,
            "end_block": 999,
            "head_block": 1200,
            "tables": [
                {
                    "table": "blocks",
                    "ranges": [
                        {"start_block": 0, "end_block": 499, "state": "done"},
                        {"start_block": 500, "end_block": 599, "state": "in_hand", "worker_id": "worker-01"},
                        {"start_block": 600, "end_block": 999, "state": "missing"},
                    ],
                }
            ],
            "is_coarse": False,
        }
    )

    start_block: int | None
    end_block: int | None
    head_block: int | None = Field(description="the newest block that the job may take, when it last asked")
    tables: list[TableRangesBody] = Field(description="none for jobs that write no tables, or have not begun")
    is_coarse: bool


def job_ranges_body(found: JobRanges) -> JobRangesBody:
    """Return the blocks of a job's tables."""
    return JobRangesBody(
        start_block=found.start_block,
        end_block=found.end_block,
        head_block=found.head_block,
        tables=[
            TableRangesBody(table=name, ranges=[_range_body(each) for each in ranges])
            for name, ranges in found.tables.items()
        ],
        is_coarse=found.is_coarse,
    )


def _range_body(found: StateRange) -> RangeBody:
    # What is not set is not in the answer.
    body = RangeBody(start_block=found.start_block, end_block=found.end_block, state=found.state)
    if found.worker_id is not None:
        body.worker_id = found.worker_id
    if found.done_share is not None:
        body.done_share = found.done_share
    return body
