"""How daemons take their configuration, and how they end: the sentences of the wanted document on ``ampd worker``."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from ampd.jobs import LeasedJobs, WorkerIdentity
from ampd.metadata_db import MetadataDb
from ampd.worker import WorkerNode, WorkerSettings
from support.daemons import Process, ampd, free_port, wait_for
from support.forked import run_daemon

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``ampd`` with some arguments and environment; it ends with the test."""
    processes: list[Process] = []

    def start(*arguments: str, **environment: str) -> Process:
        process = ampd(*arguments, log=tmp_path / f"ampd-{len(processes)}.log", environment=environment)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.end()
        assert "Traceback" not in process.text()


@pytest.fixture
def config(tmp_path: Path, database_url: str) -> Path:
    """A config file that says where the database is, and nothing else."""
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / "config.toml"
    file.write_text(f'[metadata_db]\nurl = "{database_url}"\n', encoding="utf-8")
    return file


def node_ids(database_url: str) -> set[str]:
    with psycopg.connect(database_url) as connection:
        return {node_id for (node_id,) in connection.execute("SELECT node_id FROM workers")}


class TestTheConfigFile:
    @pytest.mark.parametrize(
        "arguments", ["--config {} migrate", "--config={} migrate", "migrate --config {}", "migrate --config={}"]
    )
    def test_is_named_before_or_after_the_command(self, config: Path, arguments: str) -> None:
        done = run_daemon(*arguments.format(config).split())
        assert (done.returncode, done.stdout) == (0, "The metadata database is up to date.\n"), done.stderr

    def test_is_named_by_amp_config(self, config: Path) -> None:
        done = run_daemon("migrate", environment={"AMP_CONFIG": str(config)})
        assert done.returncode == 0, done.stderr

    def test_on_the_command_line_is_stronger_than_amp_config(self, config: Path, tmp_path: Path) -> None:
        environment = {"AMP_CONFIG": str(tmp_path / "missing.toml")}
        assert run_daemon("--config", str(config), "migrate", environment=environment).returncode == 0
        without = run_daemon("migrate", environment=environment)
        assert without.returncode == 1
        assert "missing.toml" in without.stderr
        assert "AMP_CONFIG" in without.stderr

    @pytest.mark.parametrize("command", [("worker", "--node-id", "worker-01"), ("controller",)], ids=lambda c: c[0])
    def test_is_required(self, database_url: str, command: tuple[str, ...]) -> None:
        done = run_daemon(*command, environment={"AMP_CONFIG_METADATA_DB__URL": database_url})
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "--config" in done.stderr
        assert "AMP_CONFIG" in done.stderr
        assert node_ids(database_url) == set()


class TestAnEnvironmentVariable:
    def test_is_stronger_than_the_file(self, config: Path, tmp_path: Path, start: Start) -> None:
        port = free_port()
        text = config.read_text(encoding="utf-8")
        config.write_text(f'admin_api_addr = "127.0.0.1:{free_port()}"\n{text}', encoding="utf-8")
        start("--config", str(config), "controller", AMP_CONFIG_ADMIN_API_ADDR=f"127.0.0.1:{port}").wait_for_text(
            "controller.started"
        )
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200

    def test_reaches_into_sections_with_two_underscores(self, tmp_path: Path, database_url: str, start: Start) -> None:
        empty = tmp_path / "config.toml"
        empty.touch()
        worker = start(
            *("--config", str(empty), "worker", "--node-id", "worker-01"),
            AMP_CONFIG_METADATA_DB__URL=database_url,
            AMP_CONFIG_WORKER__SLOTS="7",
        )
        worker.wait_for_text("worker.registered")
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT node_id, slots FROM workers").fetchall() == [("worker-01", 7)]

    def test_that_nobody_knows_is_refused(self, config: Path) -> None:
        done = run_daemon(
            "--config", str(config), "migrate", environment={"AMP_CONFIG_METADATA_DB__ULR": "postgresql://x"}
        )
        assert done.returncode == 1
        assert "AMP_CONFIG_METADATA_DB__ULR" in done.stderr
        assert "did you mean AMP_CONFIG_METADATA_DB__URL?" in done.stderr

    def test_names_the_node(self, config: Path, database_url: str, start: Start) -> None:
        start("--config", str(config), "worker", AMP_NODE_ID="from-environment").wait_for_text("worker.registered")
        assert node_ids(database_url) == {"from-environment"}

    def test_that_names_the_node_is_weaker_than_the_option(self, config: Path, database_url: str, start: Start) -> None:
        worker = start("--config", str(config), "worker", "--node-id", "from-option", AMP_NODE_ID="from-environment")
        worker.wait_for_text("worker.registered")
        assert node_ids(database_url) == {"from-option"}

    def test_is_all_that_a_worker_needs(self, config: Path, database_url: str, start: Start) -> None:
        start("worker", AMP_CONFIG=str(config), AMP_NODE_ID="worker-01").wait_for_text("worker.registered")
        assert node_ids(database_url) == {"worker-01"}


PROVIDER = {"name": "mainnet", "kind": "evm-rpc", "network": "mainnet", "url": "http://127.0.0.1:1"}


class TestDirectories:
    def register_provider(self, config: Path, start: Start) -> None:
        port = free_port()
        start("--config", str(config), "controller", AMP_CONFIG_ADMIN_API_ADDR=f"127.0.0.1:{port}").wait_for_text(
            "controller.started"
        )
        assert httpx.post(f"http://127.0.0.1:{port}/providers", json=PROVIDER).status_code == 201

    def test_are_beside_the_config_file_unless_it_names_them(self, config: Path, start: Start) -> None:
        self.register_provider(config, start)
        assert (config.parent / "providers" / "mainnet.toml").is_file()

    def test_that_the_config_file_names_are_used_as_they_are(self, config: Path, tmp_path: Path, start: Start) -> None:
        elsewhere = tmp_path / "elsewhere"
        text = config.read_text(encoding="utf-8")
        config.write_text(f'providers_dir = "{elsewhere}"\n{text}', encoding="utf-8")
        self.register_provider(config, start)
        assert (elsewhere / "mainnet.toml").is_file()
        assert not (config.parent / "providers").exists()

    def test_are_not_created_by_a_worker_that_starts(self, config: Path, start: Start) -> None:
        worker = start("--config", str(config), "worker", "--node-id", "worker-01")
        worker.wait_for_text("worker.registered")
        assert worker.end() == 0
        assert list(config.parent.iterdir()) == [config]


class TestTheExitCode:
    def test_is_0_after_ctrl_c_and_sigterm(self, config: Path, start: Start) -> None:
        port = free_port()
        daemons = [
            start("--config", str(config), "controller", AMP_CONFIG_ADMIN_API_ADDR=f"127.0.0.1:{port}"),
            start("--config", str(config), "worker", "--node-id", "worker-01"),
        ]
        for daemon, text in zip(daemons, ("controller.started", "worker.registered"), strict=True):
            daemon.wait_for_text(text)
        daemons[0].signal(signal.SIGINT)
        daemons[1].signal(signal.SIGINT)
        assert [daemon.wait(15) for daemon in daemons] == [0, 0]

    def test_is_1_on_invalid_configuration(self, tmp_path: Path) -> None:
        file = tmp_path / "config.toml"
        file.write_text("[worker]\nslots = 0\n", encoding="utf-8")
        done = run_daemon("--config", str(file), "worker", "--node-id", "worker-01")
        assert done.returncode == 1
        assert "worker.slots" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["worker"], "--node-id"),
            (["worker", "--node-id", "w", "--colour"], "--colour"),
            (["worker", "--node-id", "w", "--drain-timeout", "soon"], "--drain-timeout"),
            (["explode"], "explode"),
            (["--config"], "--config"),
        ],
        ids=" ".join,
    )
    def test_is_2_on_bad_usage(self, arguments: list[str], named: str) -> None:
        done = run_daemon(*arguments)
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert named in done.stderr
        assert "Traceback" not in done.stderr

    def test_is_1_when_the_database_cannot_be_reached(self, tmp_path: Path) -> None:
        file = tmp_path / "config.toml"
        file.write_text(f'[metadata_db]\nurl = "postgresql://127.0.0.1:{free_port()}/amp"\n', encoding="utf-8")
        done = run_daemon("--config", str(file), "worker", "--node-id", "w")
        assert done.returncode == 1
        assert "127.0.0.1" in done.stderr


def test_migrate_applies_everything_once(tmp_path: Path, empty_database_url: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[metadata_db]\nurl = "{empty_database_url}"\n', encoding="utf-8")
    first = run_daemon("--config", str(config), "migrate")
    assert first.returncode == 0, first.stderr
    assert re.search(r"^applied 0001_\w+$", first.stdout, re.MULTILINE)
    second = run_daemon("--config", str(config), "migrate")
    assert (second.returncode, second.stdout) == (0, "The metadata database is up to date.\n"), second.stderr


def test_controllers_and_workers_that_start_together_migrate_once(
    tmp_path: Path, empty_database_url: str, start: Start
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[metadata_db]\nurl = "{empty_database_url}"\n', encoding="utf-8")
    workers = [start("--config", str(config), "worker", "--node-id", f"worker-0{number}") for number in (1, 2, 3)]
    for worker in workers:
        worker.wait_for_text("worker.registered")
    assert sum("metadata_db.migrated" in worker.text() for worker in workers) == 1
    assert node_ids(empty_database_url) == {"worker-01", "worker-02", "worker-03"}


def test_version_is_told() -> None:
    done = run_daemon("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"v\d+\.\d+\.\d+\S*\n", done.stdout)


async def test_a_worker_that_is_asked_to_end_at_any_moment_of_its_start_ends(database_url: str) -> None:
    """A cancellation must not be lost, wherever it meets the worker: it comes up to 30 ms after the start."""
    for number in range(300):
        after_ms = number % 60 / 2
        async with MetadataDb(database_url) as db:
            stop = asyncio.Event()
            identity = WorkerIdentity(f"worker-{number}", uuid4())
            node = WorkerNode(db, identity, {}, LeasedJobs(db), WorkerSettings(), info={})
            running = asyncio.ensure_future(node.run(stop))
            asyncio.get_running_loop().call_later(after_ms / 1000, stop.set)
            try:
                await asyncio.wait_for(asyncio.shield(running), 5)
            except TimeoutError:
                await end_by_force(running)
                pytest.fail(f"the worker did not end when asked {after_ms} ms after its start")


async def end_by_force(running: asyncio.Future[None]) -> None:
    """Cancel everything of the worker again and again, for the test to end at all."""
    while not running.done():
        for task in asyncio.all_tasks():
            if "WorkerNode" in repr(task):
                task.cancel()
        await asyncio.wait({running}, timeout=0.1)


def test_a_worker_beats_every_second(config: Path, database_url: str, start: Start) -> None:
    start("--config", str(config), "worker", "--node-id", "worker-01").wait_for_text("worker.registered")
    with psycopg.connect(database_url, autocommit=True) as connection:

        def beat() -> float:
            row = connection.execute("SELECT extract(epoch FROM heartbeat_at) FROM worker_heartbeats").fetchone()
            assert row is not None
            return float(row[0])

        beats = [beat()]
        while len(beats) < 5:
            last = beats[-1]
            beats.append(wait_for("the next heartbeat", lambda last=last: (now := beat()) > last and now))
    pauses = sorted(after - before for before, after in pairwise(beats))
    assert pauses[0] < 1.5, "the beats that hints bring forward are closer together"
    assert pauses[-1] < 2.5


def test_several_workers_run_side_by_side_under_their_own_ids(config: Path, database_url: str, start: Start) -> None:
    names = {"us-east-1-worker", "eu-west-1-worker", "ap-south-1-worker"}
    for name in sorted(names):
        start("--config", str(config), "worker", "--node-id", name).wait_for_text("worker.registered")
    assert node_ids(database_url) == names


def test_the_command_is_installed(config: Path) -> None:
    """The console script and the module are the same program."""
    script = Path(sys.executable).parent / "ampd"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMP_")}
    done = subprocess.run(
        [script, "--version"], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout == run_daemon("--version").stdout
