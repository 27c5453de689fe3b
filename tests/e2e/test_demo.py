"""``ampd demo`` as a newcomer runs it: what it counts, what it leaves, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support.anvil import Anvil, mine_colourful_chain
from support.daemons import ampd, free_port, run_ampctl, run_ampd, wait_for
from support.processes import processes_of

KEYS = ["blocks", "transactions", "logs", "files", "bytes", "seconds", "data_dir"]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for temporary files of the commands that a test runs."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def demo(temporary: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run_ampd("demo", *options, environment={"TMPDIR": str(temporary)})


def counts_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Check that the demo went well, and return its last line."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    counts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert sorted(counts) == sorted(KEYS)
    assert counts["files"] > 0
    assert counts["bytes"] > 0
    assert counts["seconds"] > 0
    return counts


def refused(temporary: Path, *options: str) -> str:
    """Check that the demo fails with one clear line and leaves nothing, and return that line."""
    done = demo(temporary, *options)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Exiting with error: ")
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []
    return lines[0]


@pytest.mark.long
def test_the_demo_counts_the_recorded_blocks_and_leaves_nothing(temporary: Path) -> None:
    counts = counts_of(demo(temporary, "--json"))
    assert (counts["blocks"], counts["transactions"], counts["logs"]) == (23, 4_416, 9_807)
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []


def test_a_kept_lake_is_served_by_solo(temporary: Path, tmp_path: Path) -> None:
    kept = tmp_path / "deep" / "kept"
    counts = counts_of(demo(temporary, "--keep", str(kept), "--json"))
    assert counts["data_dir"] == str(kept / "data")
    files = list(kept.glob("data/demo/blocks/*/*/*.parquet"))
    assert len(files) == counts["files"]
    assert sum(file.stat().st_size for file in files) == counts["bytes"]
    rows = sum(pq.read_metadata(file).num_rows for file in kept.glob("data/demo/blocks/logs/*/*.parquet"))
    assert rows == counts["logs"] == 9_807
    assert processes_of(tmp_path) == []

    port = free_port()
    environment = {"AMP_CONFIG_ADMIN_API_ADDR": f"127.0.0.1:{port}", "AMP_ADMIN_URL": f"http://127.0.0.1:{port}"}
    solo = ampd("solo", "--amp-dir", str(kept), log=tmp_path / "solo.log", environment=environment)
    try:
        wait_for("the Admin API", lambda: _lists_jobs(environment), 60)
        listed = run_ampctl("job", "list", "--status", "all", environment=environment)
        assert listed.returncode == 0, listed.stderr
        assert "demo/blocks" in listed.stdout
        assert "COMPLETED" in listed.stdout
    finally:
        assert solo.end() == 0, solo.text()


def _lists_jobs(environment: dict[str, str]) -> bool:
    return run_ampctl("job", "list", environment=environment).returncode == 0


@pytest.mark.long
def test_a_second_demo_on_a_kept_lake_goes_well_too(temporary: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first, second = (counts_of(demo(temporary, "--keep", str(kept), "--json")) for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    with Anvil(tmp_path_factory.mktemp("anvil")) as node:
        mine_colourful_chain(node)
        yield node


def test_the_demo_takes_blocks_of_ones_own_node(node: Anvil, temporary: Path) -> None:
    counts = counts_of(demo(temporary, "--rpc-url", node.url, "--start", "3", "--end", "8", "--json"))
    chain = node.chain(range(3, 9))
    assert counts["blocks"] == 6
    assert counts["transactions"] == sum(len(receipts) for _, receipts in chain) > 5
    assert counts["logs"] == sum(len(one["logs"]) for _, receipts in chain for one in receipts) > 20


@pytest.mark.parametrize(("start", "end"), [("8", "3"), ("0", "1000000"), ("1000000", "1000001"), ("-5", "3")])
def test_blocks_that_cannot_be_had_are_refused(node: Anvil, temporary: Path, start: str, end: str) -> None:
    line = refused(temporary, "--rpc-url", node.url, f"--start={start}", f"--end={end}")
    assert f"the node's newest block is {node.head()}" in line


def test_start_and_end_without_a_node_are_refused(temporary: Path) -> None:
    assert "--rpc-url" in refused(temporary, "--start", "17686112")
    assert "--rpc-url" in refused(temporary, "--end", "17686112")


@contextmanager
def answering(content_type: str, body: bytes) -> Iterator[str]:
    """Serve the same answer to whatever is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<!doctype html><html><body>Welcome</body></html>"),
        ("application/json", b"certainly not JSON"),
        ("application/json", b"[]"),
        ("application/json", b'{"jsonrpc":"2.0","id":1,"result":null}'),
        ("application/json", b'{"jsonrpc":"2.0","id":1,"result":"not a number"}'),
        ("application/json", b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}'),
    ],
)
def test_an_address_that_is_no_node_is_named(temporary: Path, content_type: str, body: bytes) -> None:
    with answering(content_type, body) as url:
        assert url in refused(temporary, "--rpc-url", url)


def test_a_node_that_is_not_there_is_named(temporary: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert url in refused(temporary, "--rpc-url", url)


@pytest.mark.parametrize("url", ["127.0.0.1:8545", "nonsense"])
def test_an_address_that_is_none_is_named(temporary: Path, url: str) -> None:
    assert url in refused(temporary, "--rpc-url", url)


def test_a_place_where_no_folder_can_be_made_is_named(temporary: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    assert str(file / "kept") in refused(temporary, "--keep", str(file / "kept"))


def test_a_folder_that_cannot_be_written_is_named(temporary: Path, tmp_path: Path) -> None:
    read_only = Path("/proc/sys")  # not even root may write there
    if os.geteuid() != 0:
        read_only = tmp_path / "read-only"
        read_only.mkdir(mode=0o500)
    assert str(read_only) in refused(temporary, "--keep", str(read_only))
