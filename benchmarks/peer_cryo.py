"""cryo, as ``benchmarks/extraction.py`` runs it, with the Python of its own venv: ``peer_cryo.py URL FIRST LAST DIR``.

Its own defaults but for the size of chunks: chunks of 100 blocks were faster than its 1,000, and used less memory;
limits on chunks and requests at once changed no more than the noise. Loading the library is not counted. It writes its
default columns, which are fewer than ours. The last line of stdout is JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

import cryo

CHUNK_BLOCKS = 100
TABLES = ["blocks", "transactions", "logs"]


def main() -> None:
    url, first, last, directory = sys.argv[1:]
    cpu, started = cpu_seconds(), time.perf_counter()
    done = cryo.freeze(
        TABLES,
        blocks=[f"{first}:{int(last) + 1}"],
        rpc=url,
        output_dir=directory,
        network_name="mainnet",
        chunk_size=CHUNK_BLOCKS,
        no_verbose=True,
    )
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    if done["n_errored"]:
        raise SystemExit(f"cryo: {done}")
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "cpu_s": cpu, "peak_mb": peak_kib * 1024 / 1e6}), flush=True)
    os._exit(0)  # its threads sometimes abort a process that ends in the usual way; all files are written by now


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
