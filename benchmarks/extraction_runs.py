"""One run of ours and of each peer, measured the same way (``benchmarks/extraction.py``): blocks + transactions + logs
of a range, from one node into an empty directory, until all is written. Each checks how many rows it has got.

``Run.seconds`` and ``Run.cpu_s`` leave out starting: of ours the database, controller and worker, of the peers loading
their libraries. ``cpu_s`` is of the worker, or of the peer's process, alone.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq

from ampd.metadata_db import EmbeddedPostgres
from peers import Peer
from support.daemons import Cluster

HERE = Path(__file__).parent
LIMIT_SECONDS = 3600
LOOK_SECONDS = 0.1
Counts = dict[str, int]


@dataclass(frozen=True)
class Blocks:
    """The range to extract, and the rows it has."""

    url: str
    first: int
    last: int
    rows: Counts

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Run:
    """What one run took; ``output`` are the bytes it wrote."""

    seconds: float
    cpu_s: float
    peak_mb: float
    output: int
    rows: Counts = field(default_factory=dict)


def ours(blocks: Blocks, directory: Path, *, verify: str, workers: int = 1, kind: str = "evm-rpc") -> Run:
    """Extract through real processes on an embedded PostgreSQL: a controller and one worker, or several that share the
    job. ``verify`` is the option of the deploy: off, sample or full; ``kind`` that of dataset and provider.
    """
    with EmbeddedPostgres(directory / "metadb") as server:
        cluster = Cluster(directory, server.url)
        try:
            cluster.start_controller()
            started = [psutil.Process(cluster.start_worker(f"bench-{n}").popen.pid) for n in range(workers)]
            cluster.register(blocks.url, start_block=blocks.first, kind=kind)
            return _measure_workers(cluster, started, blocks, verify)
        finally:
            cluster.end()


def _measure_workers(cluster: Cluster, workers: list[psutil.Process], blocks: Blocks, verify: str) -> Run:
    cpu, started = sum(map(cpu_seconds, workers)), time.perf_counter()
    deployed = httpx.post(
        f"{cluster.admin_url}/datasets/ethereum/mainnet/versions/1.0.0/deploy",
        json={"end_block": str(blocks.last), "parallelism": len(workers), "verify": verify},
        timeout=60,
    )
    job_id = int(deployed.raise_for_status().json()["job_id"])
    job = _end_of(f"{cluster.admin_url}/jobs/{job_id}")
    seconds, cpu = time.perf_counter() - started, sum(map(cpu_seconds, workers)) - cpu
    if job["status"] != "COMPLETED":
        raise RuntimeError(f"ours: {job}")
    tables = cluster.progress(job_id)["tables"]
    rows = {name: tables[name]["row_count"] for name in blocks.rows}
    _check("ours", rows, blocks)
    written = sum(table["total_size_bytes"] for table in tables.values())
    return Run(seconds, cpu, max(map(peak_bytes, workers)) / 1e6, written, rows)


def _end_of(url: str) -> Any:
    """Wait for the end of a job, or for an error. Looking costs next to nothing: a new client for each of many looks
    had taken a quarter of a core from the worker, and nothing from the peers.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    with httpx.Client(timeout=60) as client:
        while time.monotonic() < deadline:
            job = client.get(url).raise_for_status().json()
            if job["status"] in {"COMPLETED", "STOPPED", "FAILED"} or job["last_error"]:
                return job
            time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"ours: not at its end after {LIMIT_SECONDS} s")


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_bytes(process: psutil.Process) -> int:
    """Return the highest resident memory so far, where the system tells it, else the present one."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)


def cryo(blocks: Blocks, directory: Path) -> Run:
    """Extract with cryo."""
    return _measure_peer("cryo", "peer_cryo.py", blocks, directory, _parquet_rows)


def ethereum_etl(blocks: Blocks, directory: Path) -> Run:
    """Extract with ethereum-etl."""
    return _measure_peer("ethereum-etl", "peer_ethereum_etl.py", blocks, directory, _csv_rows)


def _measure_peer(name: str, program: str, blocks: Blocks, directory: Path, count: Callable[[Path, str], int]) -> Run:
    command = (str(Peer(name).python), str(HERE / program), blocks.url, str(blocks.first), str(blocks.last))
    done = subprocess.run(
        (*command, str(directory)), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    rows = {table: count(directory, table) for table in blocks.rows}
    _check(name, rows, blocks)
    written = sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
    return Run(**json.loads(done.stdout.splitlines()[-1]), output=written, rows=rows)


def _parquet_rows(directory: Path, table: str) -> int:
    return sum(pq.read_metadata(path).num_rows for path in directory.glob(f"*__{table}__*.parquet"))


def _csv_rows(directory: Path, table: str) -> int:
    csv.field_size_limit(sys.maxsize)  # contract code is longer than the default
    with (directory / f"{table}.csv").open(newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def _check(name: str, rows: Counts, blocks: Blocks) -> None:
    if rows != blocks.rows:
        raise RuntimeError(f"{name} has written {rows} rows, the chain has {blocks.rows}")
