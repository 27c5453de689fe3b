"""The programs in examples/ run as a reader would run them, against a real controller, worker and node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from support.daemons import Cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FIRST, LAST = 17686110, 17686119
FOOTER_KEY = "nozzle_metadata"


@dataclass(frozen=True)
class Lake:
    """What the first example has left behind."""

    output: str
    data_dir: Path

    def files(self, table: str) -> list[Path]:
        return sorted(self.data_dir.glob(f"examples/blocks/{table}/*/*.parquet"))


def run_example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    # Small segments: two files per table, of 8 and 2 blocks (a source begins with runs of 8).
    cluster = Cluster(tmp_path, database_url, "writer.max_range_blocks = 4")
    try:
        cluster.start_controller()
        cluster.start_worker("worker-1")
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def lake(cluster: Cluster, recorded_node: str) -> Lake:
    done = run_example("extract", cluster.admin_url, recorded_node, "mainnet", str(FIRST), str(LAST))
    assert done.returncode == 0, done.stderr
    return Lake(done.stdout, cluster.directory / "data")


def test_the_examples_extract_query_and_check_the_same_blocks(lake: Lake) -> None:
    assert f"blocks: blocks {FIRST} to {LAST}, 10 rows" in lake.output
    assert lake.output.rstrip().endswith("is COMPLETED")

    queried = run_example("query_lake", str(lake.data_dir / "examples" / "blocks"))
    assert queried.returncode == 0, queried.stderr
    assert queried.stdout.splitlines() == [f"{a}  {n:>4} transactions  {c:.6f} coins" for a, n, c in _payers(lake)]

    files = [file for table in ("blocks", "transactions", "logs", "withdrawals") for file in lake.files(table)]
    assert len(files) == 12
    checked = run_example("check_footer", *map(str, files))
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.splitlines() == [f"{file.name}: as its footer says" for file in files]


def test_the_footer_example_finds_a_file_that_lies(lake: Lake) -> None:
    file = lake.files("blocks")[0]
    _rewrite(file, {"numbers": {"start": FIRST, "end": FIRST + 99}})
    done = run_example("check_footer", str(file))
    assert done.returncode == 1
    assert f"not one row for each of the blocks {FIRST} to {FIRST + 99}" in done.stdout

    _rewrite(file, {"numbers": {"start": FIRST, "end": FIRST + 3}, "prev_hash": "0x" + "00" * 32})
    done = run_example("check_footer", str(file))
    assert done.returncode == 1
    assert "the hashes in the footer are not those" in done.stdout


def test_the_extraction_example_says_what_failed(cluster: Cluster) -> None:
    done = run_example("extract", cluster.admin_url, "ftp://node", "mainnet", str(FIRST), str(LAST))
    assert done.returncode == 1
    assert "http" in done.stderr
    assert "Traceback" not in done.stderr


def _payers(lake: Lake) -> list[tuple[str, int, float]]:
    """The slow way to the answer of query_lake.py: row by row, with whole numbers."""
    paid: dict[str, list[int]] = {}
    for file in lake.files("transactions"):
        for row in pq.read_table(file, partitioning=None).to_pylist():
            paid.setdefault("0x" + row["from"].hex(), []).append(row["gas_used"] * int(row["effective_gas_price"]))
    ranked = sorted(paid.items(), key=lambda item: (-sum(item[1]), item[0]))
    return [(account, len(fees), sum(fees) / 1e18) for account, fees in ranked[:5]]


def _rewrite(file: Path, changes: dict[str, object]) -> None:
    """Write the same rows under a footer whose range says something else."""
    table = pq.read_table(file, partitioning=None)
    footer = json.loads(pq.read_metadata(file).metadata[FOOTER_KEY.encode()])
    footer["ranges"][0] |= changes
    with pq.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({FOOTER_KEY: json.dumps(footer)})
