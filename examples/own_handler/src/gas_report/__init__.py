"""A kind of jobs for ampd: which contracts used the gas of a dataset.

The jobs' input is :class:`GasReport`. They read the Parquet files of the table ``transactions`` one after the other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from ampd.handlers import FatalError, HandlerContext, RecoverableError


class GasReport(BaseModel):
    """What a job wants: the folder ``data_dir/namespace/name`` of a dataset, and how many contracts to name."""

    model_config = ConfigDict(extra="forbid")

    dataset_dir: Path
    top: int = Field(default=10, ge=1, le=1000)


class Contract(BaseModel):
    """A contract (null: transactions that created one), and the gas that calls of it used."""

    address: str | None
    gas_used: int


class Result(BaseModel):
    """What a job gives."""

    files: int
    gas_used: int
    top: list[Contract]


async def gas_report(job: GasReport, context: HandlerContext) -> Result:
    """Run a job. It may be killed behind any line: the next attempt goes on behind the last file of the checkpoint."""
    files = sorted(str(file) for file in job.dataset_dir.glob("transactions/*/*.parquet"))
    if not files:
        raise FatalError(f"there are no transactions in {job.dataset_dir}: has the dataset been extracted?")
    checkpoint = context.load_checkpoint() or {"last": "", "gas": {}}
    gas: Counter[str] = Counter(checkpoint["gas"])
    for number, file in enumerate(files, 1):
        if file <= checkpoint["last"]:
            continue
        context.check_cancelled()  # between two files: what is done is in the checkpoint
        gas.update(await asyncio.to_thread(gas_of, file))  # off the event loop, which other jobs share
        await context.save_checkpoint({"last": file, "gas": gas})
        await context.progress(files_done=number, files=len(files))
    context.log.info("gas_report.done", files=len(files))
    top = [Contract(address=address or None, gas_used=used) for address, used in gas.most_common(job.top)]
    return Result(files=len(files), gas_used=gas.total(), top=top)


def gas_of(file: str) -> Counter[str]:
    """Return the gas of a file's transactions by the contract that they called."""
    try:
        table = pq.read_table(file, columns=["to", "gas_used"], partitioning=None)
    except FileNotFoundError as error:
        raise RecoverableError(f"{file} was compacted meanwhile: look again") from error
    sums = table.group_by("to").aggregate([("gas_used", "sum")])
    rows = zip(sums.column("to").to_pylist(), sums.column("gas_used_sum").to_pylist(), strict=True)
    return Counter({"" if to is None else "0x" + to.hex(): int(used) for to, used in rows})
