"""Two workers against one, on a dataset that both share and a node that answers late.

    make bench-workers [BENCH_ARGS="--blocks 1000"]

Every request waits ``--latency-ms`` (default 50), so that a worker's requests at once bound its speed, not the cores,
which both workers share here. One and two workers take the chain in turn, ``--rounds`` times; figures are medians. The
last line of the output is one JSON object; ``ratio`` is the speed of two by that of one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import extraction_runs  # noqa: E402
from ampd.demo.run import recorded_blocks  # noqa: E402
from ampd.replay_node import read_recorded_blocks  # noqa: E402
from extraction import chain_part, node_url, say, start_node  # noqa: E402

WORKERS = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Two workers against one on a slow node.")
    parser.add_argument("--blocks", type=int, default=2000, help="length of the replayed chain (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turn (default 3)")
    parser.add_argument("--latency-ms", type=int, default=50, help="how late the node answers (default 50)")
    arguments = parser.parse_args()
    rates = measure(arguments.blocks, arguments.rounds, arguments.latency_ms)
    one, two = (statistics.median(rates[count]) for count in WORKERS)
    result = {
        "blocks": arguments.blocks,
        "latency_ms": arguments.latency_ms,
        "one_worker_blocks_per_s": round(one, 1),
        "two_workers_blocks_per_s": round(two, 1),
        "ratio": round(two / one, 2),
    }
    print(json.dumps(result, separators=(",", ":")))


def measure(count: int, rounds: int, latency_ms: int) -> dict[int, list[float]]:
    """Return the blocks per second of each run, by the number of workers."""
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    with tempfile.TemporaryDirectory(prefix="ampd-bench-") as text:
        node = start_node(Path(text), count, latency_ms)
        try:
            blocks = chain_part(node_url(node), read_recorded_blocks(recorded_blocks()), count)
            for number in range(rounds):
                for workers in WORKERS:
                    directory = Path(text) / f"{workers}_workers_{number}"
                    directory.mkdir()
                    run = extraction_runs.ours(blocks, directory, verify="sample", workers=workers)
                    say(f"{workers} workers: {count / run.seconds:.1f} blocks/s, {run}")
                    rates[workers].append(count / run.seconds)
        finally:
            node.end()
    return rates


if __name__ == "__main__":
    main()
