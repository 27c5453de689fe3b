"""Extraction of replayed mainnet blocks, end to end through a real worker, and its decoding alone.

    make bench [BENCH_ARGS="--blocks 500"]

Starts an embedded PostgreSQL, a controller, a worker and a replay node, each a process of its own, and extracts a chain
of ``--blocks`` blocks (the 23 recorded ones repeated) into Parquet. Then, in this process on one core, it decodes the
recorded answers, and lets Arrow's JSON reader alone read the same bytes. The last line of the output is one JSON
object; ``cpu_s`` and ``peak_mb`` are the worker's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ampd.demo.run import recorded_blocks  # noqa: E402
from ampd.metadata_db import EmbeddedPostgres  # noqa: E402
from ampd.replay_node import ReplayChain, load_recorded_chain  # noqa: E402
from ampd.sources.evm_rpc.answers import BLOCK_ANSWER, RECEIPTS_ANSWER, read_answers  # noqa: E402
from ampd.sources.evm_rpc.decode import decode_blocks, decode_receipts  # noqa: E402
from support.daemons import Cluster, ampd, wait_for  # noqa: E402 - the harness of the tests

DECODE_ROUNDS = 7
MEGA = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=2000, help="length of the replayed chain (default 2000)")
    arguments = parser.parse_args()
    chain = load_recorded_chain(recorded_blocks(), length=arguments.blocks)
    result: dict[str, Any] = {"blocks": arguments.blocks, **extract(chain)}
    print(f"extracted {arguments.blocks} blocks: {result['blocks_per_s']} blocks/s", flush=True)
    result |= decode_alone(load_recorded_chain(recorded_blocks()))
    print(json.dumps(result, separators=(",", ":")))


def extract(chain: ReplayChain) -> dict[str, Any]:
    """Extract the whole chain through real processes."""
    with (
        tempfile.TemporaryDirectory(prefix="ampd-bench-") as text,
        EmbeddedPostgres(Path(text) / "metadb") as server,
    ):
        directory = Path(text)
        node = ampd(
            *("replay-node", "--blocks", str(recorded_blocks()), "--port", "0", "--length", str(len(chain))),
            log=directory / "node.log",
        )
        cluster = Cluster(directory, server.url)
        try:
            url = node.wait_for_text("listening on").split()[4]
            cluster.start_controller()
            worker = psutil.Process(cluster.start_worker("bench-1").popen.pid)
            cluster.register(url, start_block=chain.first_block)
            return measure(cluster, worker, chain)
        finally:
            cluster.end()
            node.end()


def measure(cluster: Cluster, worker: psutil.Process, chain: ReplayChain) -> dict[str, Any]:
    cpu_before = cpu_seconds(worker)
    started = time.perf_counter()
    job_id = cluster.deploy("ethereum/mainnet@1.0.0", "--end-block", str(chain.last_block))
    job = wait_for("the end of the job", lambda: ended(cluster, job_id), timeout=3600)
    seconds = time.perf_counter() - started
    assert job["status"] == "COMPLETED", job
    cpu = cpu_seconds(worker) - cpu_before
    tables = cluster.progress(job_id)["tables"]
    json_bytes = sum(len(body) for body in bodies(chain))
    return {
        "transactions": tables["transactions"]["row_count"],
        "logs": tables["logs"]["row_count"],
        "seconds": round(seconds, 2),
        "blocks_per_s": round(len(chain) / seconds, 1),
        "transactions_per_s": round(tables["transactions"]["row_count"] / seconds),
        "json_mb_per_s": round(json_bytes / MEGA / seconds, 1),
        "parquet_mb": round(sum(table["total_size_bytes"] for table in tables.values()) / MEGA, 1),
        "cpu_s": round(cpu, 2),
        "cpu_ms_per_block": round(cpu / len(chain) * 1000, 2),
        "peak_mb": round(peak_bytes(worker) / MEGA),
    }


def ended(cluster: Cluster, job_id: int) -> Any:
    job = cluster.job(job_id)
    return job if job["status"] in {"COMPLETED", "STOPPED", "FAILED"} or job["last_error"] else None


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


def answer(number: int, pieces: list[bytes]) -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (number, b"".join(pieces))


def block_bodies(chain: ReplayChain) -> list[bytes]:
    return [answer(n, list(chain.block(n, full=True))) for n in range(chain.first_block, chain.last_block + 1)]


def receipt_bodies(chain: ReplayChain) -> list[bytes]:
    return [answer(n, list(chain.receipts(n))) for n in range(chain.first_block, chain.last_block + 1)]


def bodies(chain: ReplayChain) -> Any:
    """Give all answers of a chain, one at a time."""
    for number in range(chain.first_block, chain.last_block + 1):
        yield answer(number, list(chain.block(number, full=True)))
        yield answer(number, list(chain.receipts(number)))


def decode_alone(chain: ReplayChain) -> dict[str, Any]:
    """Decode the recorded answers on one core, and read the same bytes with Arrow's JSON reader alone; medians."""
    numbers = range(chain.first_block, chain.last_block + 1)
    blocks, receipts = block_bodies(chain), receipt_bodies(chain)
    size = sum(map(len, blocks)) + sum(map(len, receipts))

    def decode() -> None:
        decoded = decode_blocks(numbers, blocks, expect_unknown_keys=False)
        decode_receipts(decoded, receipts, expect_unknown_keys=False)

    def read() -> None:
        read_answers(blocks, BLOCK_ANSWER, strict=True)
        read_answers(receipts, RECEIPTS_ANSWER, strict=True)

    decode_seconds, read_seconds = alternate(decode, read)
    return {
        "decode_blocks_per_s": round(len(numbers) / decode_seconds, 1),
        "decode_mb_per_s": round(size / MEGA / decode_seconds, 1),
        "arrow_reader_mb_per_s": round(size / MEGA / read_seconds, 1),
        "decode_to_arrow_reader": round(read_seconds / decode_seconds, 2),
    }


def alternate(*works: Any) -> list[float]:
    """Time each work in turn, several rounds over (the machine's mood hits all alike), and return the medians."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(DECODE_ROUNDS):
        for work, taken in zip(works, times, strict=True):
            started = time.process_time()
            work()
            taken.append(time.process_time() - started)
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    main()
