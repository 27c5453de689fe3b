"""``ampd solo`` on its directory: killed as a whole, killed alone, doubled, and ended by hand."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import pyarrow as pa
import pytest

from support.chain import (
    FIRST_BLOCK,
    Lake,
    deploy,
    register,
    repeated_blocks,
    replay_node,
)
from support.daemons import Process, ampd, free_port, wait_for
from support.forked import run_daemon
from support.processes import family, is_alive, processes_of, wait_until_gone

pytestmark = pytest.mark.chaos

LENGTH = 60
LAST_BLOCK = FIRST_BLOCK + LENGTH - 1
DATASET = "solo/blocks"
# The tables that were compared with the slow path, cell by cell; the other tests compare with these.
_EXACT: dict[str, pa.Table] = {}


class Solo:
    """A process of ``ampd solo``."""

    def __init__(self, amp_dir: Path, port: int) -> None:
        self.amp_dir = amp_dir
        self.admin_url = f"http://127.0.0.1:{port}"
        environment = {
            "AMP_CONFIG_ADMIN_API_ADDR": self.admin_url.removeprefix("http://"),
            "AMP_CONFIG_WRITER__MAX_RANGE_BLOCKS": "4",
        }
        log = amp_dir.with_name(f"{amp_dir.name}.log")
        self.registered = log.read_text().count("worker.registered") if log.exists() else 0
        self.process: Process = ampd("solo", "--amp-dir", str(amp_dir), log=log, environment=environment)
        self.family: list[psutil.Process] = []
        host = quote(str(amp_dir / "metadb"), safe="")
        self.lake = Lake(amp_dir / "data", f"postgresql://postgres@/postgres?host={host}&port=5432", DATASET)

    def wait_until_up(self) -> None:
        """Wait for the Admin API and for one more registration of a worker."""
        wait_for("solo", self.is_up, 60)
        self.family = family(self.process.popen.pid)

    def is_up(self) -> bool:
        assert self.process.popen.poll() is None, self.process.text()
        try:
            healthy = httpx.get(f"{self.admin_url}/healthz").status_code == 200
        except httpx.TransportError:
            return False
        return healthy and self.process.text().count("worker.registered") > self.registered

    def named(self, word: str) -> psutil.Process:
        """Return the child process with ``word`` among its arguments."""
        return next(process for process in self.family[1:] if word in _arguments(process))

    def job(self, job_id: int) -> dict[str, object]:
        answer: dict[str, object] = httpx.get(f"{self.admin_url}/jobs/{job_id}").json()
        return answer

    def begin(self, node_url: str) -> int:
        """Start an extraction and return its job when it has written some segments and is not done."""
        reference = register(
            self.admin_url,
            node_url,
            dataset=DATASET,
            network="solo",
            start_block=FIRST_BLOCK,
            concurrent_request_limit=2,
        )
        job_id = deploy(self.admin_url, reference, LAST_BLOCK)
        wait_for("segments", lambda: len(self.lake.segments("blocks")) >= 2, 60)
        assert self.job(job_id)["status"] == "RUNNING", "it was too quick to be disturbed"
        return job_id

    def assert_completes(self, job_id: int, before: list[tuple[int, int]]) -> None:
        """The job goes on by itself; what was committed ``before`` still counts, and all rows are exact."""
        wait_for("the job's end", lambda: self.job(job_id)["status"] == "COMPLETED", 60)
        self.lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
        assert set(before) <= set(self.lake.segments("blocks"))
        if not _EXACT:
            self.lake.assert_equals_node(repeated_blocks(LENGTH))
            _EXACT.update(self.lake.tables())
        self.lake.assert_equals(_EXACT)

    def end(self) -> None:
        self.process.signal(signal.SIGINT)
        assert self.process.wait() == 0, self.process.text()
        wait_until_gone(self.family)
        assert "Traceback" not in self.process.text()


def _arguments(process: psutil.Process) -> list[str]:
    """Return the arguments of a process; none of one that has gone, as sessions of PostgreSQL do."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def start(amp_dir: Path) -> Iterator[Callable[[], Solo]]:
    """Start a solo on the directory, always at the same address; whatever is left of it ends with the test."""
    port = free_port()
    started: list[Solo] = []

    def start() -> Solo:
        started.append(Solo(amp_dir, port))
        started[-1].wait_until_up()
        return started[-1]

    yield start
    for solo in started:
        solo.process.end()
    for process in processes_of(amp_dir):
        process.kill()


@pytest.fixture
def amp_dir(tmp_path: Path) -> Path:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    return private / "amp"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[str]:
    with replay_node(tmp_path, "--length", str(LENGTH), "--latency", "0.1") as (url, _):
        yield url


Kill = Callable[[Solo], None]


def kill_all(solo: Solo) -> None:
    """Kill solo and all that it started: PostgreSQL and its servers, controller, worker."""
    for process in family(solo.process.popen.pid):
        process.kill()
    solo.process.wait()
    wait_until_gone(solo.family)


def kill_solo_alone(solo: Solo) -> None:
    """Kill solo; controller and worker notice it and end by themselves."""
    solo.process.signal(signal.SIGKILL)
    solo.process.wait()
    wait_until_gone([solo.named("controller"), solo.named("worker")])


def kill_solo_and_do_not_wait(solo: Solo) -> None:
    """Kill solo; the next one starts while controller and worker are still ending."""
    solo.process.signal(signal.SIGKILL)
    solo.process.wait()


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(kill_all, marks=pytest.mark.long),
        kill_solo_alone,
        pytest.param(kill_solo_and_do_not_wait, marks=pytest.mark.long),
    ],
)
def test_a_killed_solo_goes_on_where_it_was(kill: Kill, start: Callable[[], Solo], amp_dir: Path, node: str) -> None:
    solo = start()
    assert {"postgres", "python"} <= {process.name().rstrip("0123456789.") for process in solo.family}
    job_id = solo.begin(node)
    before = solo.lake.segments("blocks")
    kill(solo)

    again = start()
    again.assert_completes(job_id, before)
    again.end()
    assert processes_of(amp_dir) == []


def test_a_killed_child_of_solo_is_started_again(start: Callable[[], Solo], amp_dir: Path, node: str) -> None:
    solo = start()
    job_id = solo.begin(node)
    before = solo.lake.segments("blocks")
    solo.registered += 1
    for word in ("worker", "controller"):
        killed = solo.named(word)
        killed.kill()
        wait_until_gone([killed])
    solo.wait_until_up()
    solo.assert_completes(job_id, before)
    solo.end()
    assert processes_of(amp_dir) == []


def test_ctrl_c_ends_all_of_solo_and_a_second_solo_is_refused(
    start: Callable[[], Solo], amp_dir: Path, node: str
) -> None:
    solo = start()
    job_id = solo.begin(node)

    second = run_daemon("solo", "--amp-dir", str(amp_dir))
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1].startswith("Exiting with error: ")
    assert f"in use by another ampd (process {solo.process.popen.pid})" in second.stderr
    assert "Traceback" not in second.stderr
    assert all(is_alive(process) for process in solo.family[:1])
    assert solo.job(job_id)["status"] in {"RUNNING", "COMPLETED"}

    os.kill(solo.process.popen.pid, signal.SIGINT)
    assert solo.process.wait() == 0, solo.process.text()
    wait_until_gone(solo.family)
    assert processes_of(amp_dir) == []
    assert "Traceback" not in solo.process.text()
    assert stat.S_IMODE(amp_dir.parent.stat().st_mode) == 0o700
