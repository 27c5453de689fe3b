"""Extraction of replayed mainnet blocks, beside cryo and ethereum-etl.

    make bench-extraction [BENCH_ARGS="--blocks 500"]
    make bench                                           # ours alone, once

One node serves a chain of ``--blocks`` blocks (the 23 recorded ones repeated) from memory (``extraction_node.py``).
Ours (an embedded PostgreSQL, a controller, one worker), cryo and ethereum-etl take blocks, transactions with receipts
and logs from it in turn, ``--rounds`` times, each into Parquet or what it has (``extraction_runs.py``); rows are
counted. ethereum-etl is slow: it gets a part of the chain, and only rates are compared. Figures are medians. Then, in
this process on one core, the recorded answers are decoded and written, and read by Arrow's JSON reader alone.

The last line of the output is one JSON object, all else goes to stderr. ``cpu_s`` and ``peak_mb`` are of our worker, or
of the peer's process; the node's are not counted. Ratios: ``speed_ratio_*`` are our blocks per second by the peer's,
``cpu_ratio_*`` our CPU per block by the peer's. ``decode_mb_per_s`` is decoding alone, ``decode_write_mb_per_s``
decoding and writing Parquet, ``arrow_reader_mb_per_s`` reading the same bytes. ``ours`` verifies nothing, as the peers
do; ``ours_default`` verifies a sample, as a deploy does that says nothing else, ``ours_verify_full`` everything, both
on half of the chain. ``verify_full_cost`` and ``verify_default_cost`` are their CPU per block by that of ``ours``. A
peer that cannot be had is null, and ``missing`` says why.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import extraction_runs  # noqa: E402
from ampd.demo.run import recorded_blocks  # noqa: E402
from ampd.replay_node import RecordedBlock, read_recorded_blocks  # noqa: E402
from extraction_decode import decode_alone, json_bytes  # noqa: E402
from extraction_runs import Blocks, Run  # noqa: E402
from peers import Peer  # noqa: E402
from support.daemons import Process  # noqa: E402 - the harness of the tests

VERIFIED_PART = 2  # verified runs get this part of the blocks
ETL_PART = 10  # ethereum-etl gets this part of the blocks
MEGA = 1_000_000


@dataclass(frozen=True)
class System:
    """Who extracts: its key in the output, how it runs, and its peer's name on the package index."""

    key: str
    run: Callable[[Blocks, Path], Run]
    part: int = 1
    peer: str | None = None

    def missing(self) -> str | None:
        """Return why it cannot run, None when it can."""
        return None if self.peer is None else Peer(self.peer).missing()


OURS = System("ours", partial(extraction_runs.ours, verify="off"))
VERIFIED = (
    System("ours_default", partial(extraction_runs.ours, verify="sample"), part=VERIFIED_PART),
    System("ours_verify_full", partial(extraction_runs.ours, verify="full"), part=VERIFIED_PART),
)
PEERS = (
    System("cryo", extraction_runs.cryo, peer="cryo"),
    System("ethereum_etl", extraction_runs.ethereum_etl, part=ETL_PART, peer="ethereum-etl"),
)


def main() -> None:
    arguments = parse_arguments()
    recorded = read_recorded_blocks(recorded_blocks())
    peers = () if arguments.no_peers else PEERS
    missing = {system.key: why for system in peers if (why := system.missing())}
    verified = () if arguments.no_verified else VERIFIED
    systems = [OURS, *verified, *(system for system in peers if system.key not in missing)]
    figures = extract(systems, recorded, arguments.blocks, arguments.rounds)
    alone = decode_alone(recorded)
    print(json.dumps(result(figures, alone, recorded, arguments.blocks, missing), separators=(",", ":")))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Extraction beside cryo and ethereum-etl.")
    parser.add_argument("--blocks", type=int, default=2000, help="length of the replayed chain (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turn (default 3)")
    parser.add_argument("--no-verified", action="store_true", help="leave out the runs of ours that verify")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    return parser.parse_args()


def extract(
    systems: Sequence[System], recorded: Sequence[RecordedBlock], count: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Let all extract in turn (the machine's mood hits all alike), and return the medians of each."""
    runs: dict[str, list[tuple[Blocks, Run]]] = {system.key: [] for system in systems}
    with tempfile.TemporaryDirectory(prefix="ampd-bench-") as text:
        node = start_node(Path(text), count)
        try:
            url = node_url(node)
            for number in range(rounds):
                for system in systems:
                    blocks = chain_part(url, recorded, max(1, count // system.part))
                    directory = Path(text) / f"{system.key}_{number}"
                    directory.mkdir()
                    run = system.run(blocks, directory)
                    say(f"{system.key}: {len(blocks)} blocks, {len(blocks) / run.seconds:.1f} blocks/s, {run}")
                    runs[system.key].append((blocks, run))
        finally:
            node.end()
    return {key: medians(of_system) for key, of_system in runs.items()}


def start_node(directory: Path, count: int, latency_ms: int = 0) -> Process:
    """Start the node with a chain of ``count`` blocks."""
    command = [sys.executable, str(Path(__file__).with_name("extraction_node.py")), str(count), str(latency_ms)]
    return Process(command, log=directory / "node.log")


def node_url(node: Process) -> str:
    """Wait until the node listens, and return its URL."""
    return node.wait_for_text("listening on").split()[-1]


def chain_part(url: str, recorded: Sequence[RecordedBlock], count: int) -> Blocks:
    """Return the first ``count`` blocks of the node's chain, and their rows."""
    first = recorded[0].identity.number
    repeated = [recorded[offset % len(recorded)] for offset in range(count)]
    return Blocks(
        url=url,
        first=first,
        last=first + count - 1,
        rows={
            "blocks": count,
            "transactions": sum(len(each.receipts) for each in repeated),
            "logs": sum(len(receipt["logs"]) for each in repeated for receipt in each.receipts),
        },
    )


def medians(runs: Sequence[tuple[Blocks, Run]]) -> dict[str, float]:
    def median(values: Iterable[float]) -> float:
        return statistics.median(values)

    return {
        "blocks": median(len(blocks) for blocks, _ in runs),
        "blocks_per_s": median(len(blocks) / run.seconds for blocks, run in runs),
        "cpu_s": median(run.cpu_s for _, run in runs),
        "cpu_ms_per_block": median(run.cpu_s / len(blocks) * 1000 for blocks, run in runs),
        "peak_mb": median(run.peak_mb for _, run in runs),
        "output_mb": median(run.output / MEGA for _, run in runs),
    }


def result(
    figures: dict[str, dict[str, float]],
    alone: dict[str, float],
    recorded: Sequence[RecordedBlock],
    count: int,
    missing: dict[str, str],
) -> dict[str, Any]:
    """Put the output together."""
    ours = figures["ours"]
    rows = chain_part("", recorded, count).rows
    more = {
        "transactions_per_s": ours["blocks_per_s"] * rows["transactions"] / count,
        "json_mb_per_s": ours["blocks_per_s"] * json_bytes(recorded, count) / count / MEGA,
    }
    return {
        **rows,
        "ours": rounded(ours | more),
        **{system.key: rounded(figures.get(system.key)) for system in (*VERIFIED, *PEERS)},
        **({"missing": missing} if missing else {}),
        "speed_ratio_vs_cryo": ratio(figures, "blocks_per_s", "cryo"),
        "cpu_ratio_vs_cryo": ratio(figures, "cpu_ms_per_block", "cryo"),
        "speed_ratio_vs_etl": ratio(figures, "blocks_per_s", "ethereum_etl"),
        **rounded(alone),
        "decode_to_arrow_reader": round(alone["decode_mb_per_s"] / alone["arrow_reader_mb_per_s"], 2),
        "decode_write_to_arrow_reader": round(alone["decode_write_mb_per_s"] / alone["arrow_reader_mb_per_s"], 2),
        "verify_default_cost": cost(figures, "ours_default"),
        "verify_full_cost": cost(figures, "ours_verify_full"),
    }


def ratio(figures: dict[str, dict[str, float]], name: str, peer: str) -> float | None:
    return round(figures["ours"][name] / figures[peer][name], 2) if peer in figures else None


def cost(figures: dict[str, dict[str, float]], verified: str) -> float | None:
    """Return the CPU per block of a run that verifies by that of one that does not."""
    name = "cpu_ms_per_block"
    return round(figures[verified][name] / figures["ours"][name], 2) if verified in figures else None


def rounded(figures: dict[str, float] | None) -> Any:
    return None if figures is None else {name: round(value, 2) for name, value in figures.items()}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
