"""Extraction from a Firehose server: decoding alone, and end to end through real processes.

    make bench-firehose [BENCH_ARGS="--blocks 600 --gzip"]

The six recorded mainnet blocks, with all their calls and state changes (1.2 MB each), in this process on one core, as
medians of CPU time: ``parse`` is what protobuf's own parser takes without a look at a field, ``columns`` what ptars
takes to make Arrow columns of them, ``attributes`` a parser and plain Python over the fields (no table made yet),
``decode`` all of our way to the tables, ``decode_write`` with Parquet. Then ``end_to_end``: a replay Firehose server, a
controller and one worker as processes of their own, all on this machine's cores, into Parquet, blocks verified by
samples as by default. MB are of what is decoded. The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import extraction_runs  # noqa: E402
from ampd.data_store.segments import Compression, encode_segment  # noqa: E402
from ampd.firehose_wire import ethereum_pb2  # noqa: E402
from ampd.replay_node.dbin import read_firehose_blocks  # noqa: E402
from ampd.sources.firehose.decode import decode, read_messages  # noqa: E402
from extraction import say  # noqa: E402
from extraction_decode import MEGA, alternate  # noqa: E402
from support.daemons import Process, ampd  # noqa: E402

RECORDED = ROOT / "tests" / "data" / "firehose"
COLUMNS_OF_CALL = (
    *("index", "parent_index", "depth", "call_type", "caller", "address", "gas_limit", "gas_consumed"),
    *("return_data", "input", "executed_code", "suicide", "begin_ordinal", "end_ordinal"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Extraction from a Firehose server.")
    parser.add_argument("--blocks", type=int, default=600, help="length of the replayed chain (default 600)")
    parser.add_argument("--rounds", type=int, default=3, help="runs end to end (default 3)")
    parser.add_argument("--gzip", action="store_true", help="have the server compress what it sends")
    arguments = parser.parse_args()
    result = decode_alone() | end_to_end(arguments.blocks, arguments.rounds, gzip=arguments.gzip)
    print(json.dumps({name: round(value, 1) for name, value in result.items()}, separators=(",", ":")))


def decode_alone() -> dict[str, float]:
    blocks = read_firehose_blocks(RECORDED)
    payloads = [block.payload for block in blocks]
    numbers = [block.number for block in blocks]
    size = sum(map(len, payloads)) / MEGA

    def write() -> None:
        for name, table in decode(numbers, payloads, chain_id=1).tables.items():
            encode_segment(name, [table], {}, Compression())

    works = {
        "parse": lambda: [ethereum_pb2.Block.FromString(payload) for payload in payloads],
        "columns": lambda: read_messages(payloads),
        "attributes": lambda: read_attributes(payloads),
        "decode": lambda: decode(numbers, payloads, chain_id=1),
        "decode_write": write,
    }
    result = {}
    for name, seconds in zip(works, alternate(*works.values()), strict=True):
        say(f"{name}: {len(blocks) / seconds:.0f} blocks/s, {size / seconds:.0f} MB/s")
        result |= {f"{name}_blocks_per_s": len(blocks) / seconds, f"{name}_mb_per_s": size / seconds}
    return result


def read_attributes(payloads: Sequence[bytes]) -> None:
    """Touch the fields of calls and logs, as a loop over rows would."""
    for payload in payloads:
        for trace in ethereum_pb2.Block.FromString(payload).transaction_traces:
            for call in trace.calls:
                [getattr(call, name) for name in COLUMNS_OF_CALL]
            for log in trace.receipt.logs:
                (log.address, list(log.topics), log.data, log.block_index)


def end_to_end(count: int, rounds: int, *, gzip: bool) -> dict[str, float]:
    recorded = read_firehose_blocks(RECORDED)
    size = sum(len(recorded[at % len(recorded)].payload) for at in range(count)) / MEGA
    seconds, cpu = [], []
    with tempfile.TemporaryDirectory(prefix="ampd-bench-") as text:
        server = start_server(Path(text), count, gzip=gzip)
        try:
            url = next(word for word in server.wait_for_text("listening on").split() if word.startswith("http://"))
            first = recorded[0].number
            blocks = extraction_runs.Blocks(url, first, first + count - 1, {"blocks": count})
            for number in range(rounds):
                directory = Path(text) / f"run_{number}"
                directory.mkdir()
                run = extraction_runs.ours(blocks, directory, verify="sample", kind="firehose")
                say(f"end to end: {count / run.seconds:.1f} blocks/s, {size / run.seconds:.1f} MB/s, {run}")
                seconds.append(run.seconds)
                cpu.append(run.cpu_s)
        finally:
            server.end()
    taken = statistics.median(seconds)
    return {
        "end_to_end_blocks_per_s": count / taken,
        "end_to_end_mb_per_s": size / taken,
        "worker_cpu_ms_per_block": 1000 * statistics.median(cpu) / count,
    }


def start_server(directory: Path, count: int, *, gzip: bool) -> Process:
    options = ["--gzip"] if gzip else []
    return ampd(
        *("replay-firehose", "--blocks", str(RECORDED), "--port", "0", "--length", str(count), *options),
        log=directory / "server.log",
    )


if __name__ == "__main__":
    main()
