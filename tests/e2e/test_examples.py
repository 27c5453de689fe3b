"""The programs in examples/ run as a reader would run them, against a real controller, worker and node."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
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


@pytest.fixture(scope="module")
def own_handler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example of an own handler is installed, and nothing else: the tests' own venv stays as it
    is.
    """
    folder = tmp_path_factory.mktemp("installed")
    # The sources are copied: a build leaves traces beside them.
    package = shutil.copytree(EXAMPLES / "own_handler", tmp_path_factory.mktemp("sources") / "own_handler")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--target", str(folder), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def cluster(tmp_path: Path, database_url: str, own_handler: Path) -> Iterator[Cluster]:
    # Small segments: two files per table, of 8 and 2 blocks (a source begins with runs of 8).
    cluster = Cluster(tmp_path, database_url, "writer.max_range_blocks = 4")
    environment = {"PYTHONPATH": str(own_handler)}
    try:
        cluster.start_controller(environment=environment)
        cluster.start_worker("worker-1", environment=environment)
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


def test_the_example_of_an_own_handler_reports_on_the_same_blocks(cluster: Cluster, lake: Lake) -> None:
    job_id = cluster.create("gas-report", {"dataset_dir": str(lake.data_dir / "examples" / "blocks"), "top": 3})
    job = cluster.wait_for_status(job_id, "COMPLETED")
    gas: Counter[str | None] = Counter()
    for file in lake.files("transactions"):
        for row in pq.read_table(file, partitioning=None).to_pylist():
            gas[row["to"] and "0x" + row["to"].hex()] += row["gas_used"]
    assert job["result"]["files"] == len(lake.files("transactions")) == 3
    assert job["result"]["gas_used"] == gas.total()
    assert {each["address"]: each["gas_used"] for each in job["result"]["top"]} == dict(gas.most_common(3))
    assert cluster.progress(job_id)["progress"] == {"files_done": 3, "files": 3}

    job_id = cluster.create("gas-report", {"dataset_dir": "/nowhere"}, retries=5)
    error = cluster.wait_for_status(job_id, "FAILED")["last_error"]
    assert error["error_code"] == "HANDLER_FAILED"
    assert "there are no transactions in /nowhere" in error["error_message"]

    for job_input, reason in (({"dataset_dir": "/a", "top": 0}, "top"), ({"dir": "/a"}, "dataset_dir: is missing")):
        answer = httpx.post(f"{cluster.admin_url}/jobs", json={"kind": "gas-report", "input": job_input})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_JOB_INPUT")
        assert reason in answer.json()["error_message"]


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
