"""ethereum-etl, as ``benchmarks/extraction.py`` runs it, with the Python of its own venv:
``peer_ethereum_etl.py URL FIRST LAST DIR``.

The commands of its documentation for blocks, transactions, receipts and logs, to CSV (it writes no Parquet), one after
the other in this process, so that loading its libraries is not counted. Of 1, 2 and 5 threads and batches of 20 and 100
requests, 5 and 100 (its own defaults) were the fastest. The last line of stdout is JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from ethereumetl.cli import cli

THREADS, BATCH = "5", "100"


def main() -> None:
    url, first, last, directory = sys.argv[1:]
    common = ("--provider-uri", url, "--max-workers", THREADS, "--batch-size", BATCH)
    blocks, transactions, hashes = (f"{directory}/{name}" for name in ("blocks.csv", "transactions.csv", "hashes.txt"))
    receipts, logs = f"{directory}/receipts.csv", f"{directory}/logs.csv"
    commands = (
        (
            *("export_blocks_and_transactions", "--start-block", first, "--end-block", last, *common),
            *("--blocks-output", blocks, "--transactions-output", transactions),
        ),
        ("extract_csv_column", "--input", transactions, "--column", "hash", "--output", hashes),
        (
            *("export_receipts_and_logs", "--transaction-hashes", hashes, *common),
            *("--receipts-output", receipts, "--logs-output", logs),
        ),
    )
    cpu, started = cpu_seconds(), time.perf_counter()
    for command in commands:
        cli.main(list(command), standalone_mode=False)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "cpu_s": cpu, "peak_mb": peak_kib * 1024 / 1e6}), flush=True)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
