"""Check by hand that Parquet files of the lake hold the blocks that their footers promise.

python examples/check_footer.py FILE.parquet ...

Exit code 1 when a file does not. Needs nothing of ampd but its files.
"""

# ruff: noqa: T201 - a program for people prints
from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

FOOTER_KEY = b"nozzle_metadata"


def faults(file: Path) -> list[str]:
    """Return what is wrong with ``file``; nothing when all is well."""
    footer = json.loads(pq.read_metadata(file).metadata[FOOTER_KEY])
    (said,) = footer["ranges"]
    first, last = said["numbers"]["start"], said["numbers"]["end"]
    # `partitioning=None`: the path is not a part of the rows.
    rows = pq.read_table(file, partitioning=None)
    numbers = rows["_block_num"].to_pylist()
    found = []
    if footer["filename"] != file.name:
        found.append(f"the footer names the file {footer['filename']}")
    if numbers != sorted(numbers):
        found.append("rows are not in the order of their blocks")
    if any(not first <= number <= last for number in numbers):
        found.append(f"rows of blocks {min(numbers)} to {max(numbers)}, but the footer says {first} to {last}")
    if footer["table"] == "blocks":
        if numbers != list(range(first, last + 1)):
            found.append(f"not one row for each of the blocks {first} to {last}")
        elif (said["prev_hash"], said["hash"]) != (_hex(rows["parent_hash"][0]), _hex(rows["hash"][-1])):
            found.append("the hashes in the footer are not those of the first and the last block")
    return found


def _hex(value: object) -> str:
    return "0x" + bytes(value.as_py()).hex()  # type: ignore[attr-defined]


def main() -> int:
    """Run the program; return its exit code."""
    wrong = 0
    for file in map(Path, sys.argv[1:]):
        found = faults(file)
        wrong += bool(found)
        print(f"{file.name}: {'; '.join(found) or 'as its footer says'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
