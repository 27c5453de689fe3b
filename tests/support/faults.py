"""Faults between daemons and their database: a server to restart, a line to cut, sessions to end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg.rows import dict_row

from ampd.client import Ampd
from ampd.metadata_db import EmbeddedPostgres
from support.chain import FIRST_BLOCK, Lake, lake_of, register, repeated_blocks, replay_node
from support.daemons import Cluster, Process, ampd, wait_for

LENGTH = 48
LAST_BLOCK = FIRST_BLOCK + LENGTH - 1
TERMINAL = ("COMPLETED", "STOPPED", "FAILED")

_NOTIFICATION = b"A"
_HEADER = 5  # a message of the protocol: one letter, and the length of the rest in four bytes


class Server:
    """A PostgreSQL server of the tests' own, to stop and crash; its URL stays the same."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="ampd-test-"))
        # What is committed survives a crash of the server; a power cut is not what is tested here.
        settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}
        self.postgres = EmbeddedPostgres(self._directory / "metadb", settings=settings)

    def __enter__(self) -> Self:
        self.postgres.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.postgres.stop()
        shutil.rmtree(self._directory)

    def stop(self) -> None:
        """Stop it as `pg_ctl stop -m fast` does: sessions are ended, what is committed is written."""
        self.postgres.stop()

    def crash(self) -> None:
        """Stop it as `pg_ctl stop -m immediate` does: the next start replays the log."""
        pid_file = self.postgres.data_dir / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)
        self.postgres.stop()

    def start(self) -> None:
        self.postgres.start()


class _Link:
    """One connection through a proxy."""

    def __init__(self, client: socket.socket, upstream: Path, proxy: Proxy) -> None:
        self.client = client
        self.server = socket.socket(socket.AF_UNIX)
        self.flows = threading.Event()
        self.flows.set()
        self._upstream = upstream
        self._proxy = proxy
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._there, self._back)]

    def start(self) -> None:
        self.server.connect(str(self._upstream))
        for thread in self._threads:
            thread.start()

    def _there(self) -> None:
        with suppress(OSError):
            while data := self.client.recv(65536):
                self._wait()
                self.server.sendall(data)
        self._hang_up(self.server)

    def _back(self) -> None:
        held = b""
        with suppress(OSError):
            while data := self.server.recv(65536):
                self._wait()
                passed, held = self._proxy.filtered(held + data)
                self.client.sendall(passed)
        self._hang_up(self.client)

    def _wait(self) -> None:
        self.flows.wait()
        self._proxy.flows.wait()

    def _hang_up(self, other: socket.socket) -> None:
        """Pass an end on, when it can get through."""
        self._wait()
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def hang_up_on_client(self) -> None:
        """End the client's half alone: the server goes on believing in the connection."""
        self.flows.clear()
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End both halves; what was held is lost."""
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.reset()
        self.flows.set()
        for thread in self._threads:
            thread.join()
        self.client.close()
        self.server.close()


class Proxy:
    """A TCP port that leads to a server's Unix socket, and can be cut in several ways."""

    def __init__(self, database_url: str, *, drop_notifications: bool = False) -> None:
        query = parse_qs(urlsplit(database_url).query)
        self._upstream = Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        database = urlsplit(database_url).path
        self.url = f"postgresql://postgres@127.0.0.1:{port}{database}?sslmode=disable&gssencmode=disable"
        self.flows = threading.Event()
        self.flows.set()
        self.dropped_notifications = 0
        self._drops_notifications = drop_notifications
        self._links: list[_Link] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.flows.set()
        for link in self._links:
            link.close()

    def freeze(self) -> None:
        """Pass nothing on, and say nothing of it: what is sent meanwhile is held."""
        self.flows.clear()

    def thaw(self) -> None:
        """Pass on what was held, and all that comes."""
        self.flows.set()

    def thaw_with_reset(self) -> None:
        """Work again, after the end of all connections; what was held is lost."""
        self._replace(_Link.reset)

    def thaw_for_new_connections(self) -> None:
        """Work again, but for the connections there were: they stay silent for ever, as after a lost NAT entry."""
        self._replace(lambda link: link.flows.clear())

    def hang_up_on_clients(self) -> None:
        """End the clients' halves of all connections; the server's sessions stay."""
        with self._lock:
            for link in self._links:
                link.hang_up_on_client()

    def close_links(self) -> None:
        """End whatever is left of the connections that were hung up or silenced."""
        with self._lock:
            for link in self._links:
                if not link.flows.is_set():
                    link.close()

    def filtered(self, data: bytes) -> tuple[bytes, bytes]:
        """Split what the server said into what passes, and the beginning of a message that is not complete."""
        if not self._drops_notifications:
            return data, b""
        passed = bytearray()
        while len(data) >= _HEADER and len(data) >= (size := 1 + int.from_bytes(data[1:_HEADER], "big")):
            if data[:1] == _NOTIFICATION:
                self.dropped_notifications += 1
            else:
                passed += data[:size]
            data = data[size:]
        return bytes(passed), data

    def _replace(self, end: Callable[[_Link], None]) -> None:
        with self._lock:
            links = list(self._links)
        for link in links:
            end(link)
        self.flows.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            link = _Link(client, self._upstream, self)
            try:
                link.start()
            except OSError:  # the server is away
                link.client.close()
                link.server.close()
                continue
            with self._lock:
                self._links.append(link)


class SessionKiller:
    """Ends the daemons' sessions whose application name is like ``pattern``, again and again, until the block ends."""

    def __init__(self, database_url: str, pattern: str, *, every_seconds: float) -> None:
        self.killed = 0
        self._url = database_url
        self._pattern = pattern
        self._pause = every_seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._end.wait(self._pause):
                self.killed += kill_sessions(connection, self._pattern)


def kill_sessions(connection: psycopg.Connection[Any], pattern: str) -> int:
    """End the sessions of this database whose application name is like ``pattern``; return how many."""
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE %s AND pid <> pg_backend_pid()",
        (pattern,),
    )
    return len(ended.fetchall())


@dataclass(frozen=True)
class Event:
    """A state that a job entered, by the database's clock."""

    state: str
    node_id: str | None
    lease_epoch: int
    at: datetime


class Job:
    """An extraction of LENGTH blocks, watched through the database, so that nobody else has to live."""

    def __init__(self, cluster: Cluster, database_url: str, name: str, job_id: int, node: Process) -> None:
        self.id = job_id
        self.node = node
        self.lake: Lake = lake_of(cluster, database_url, f"chaos/{name}")
        self._database_url = database_url

    def row(self) -> dict[str, Any]:
        rows = self._fetch("SELECT state, worker_id, last_error, lease_epoch FROM jobs WHERE id = %s")
        return dict(rows[0])

    def events(self) -> list[Event]:
        """Return the states that the job entered."""
        rows = self._fetch(
            "SELECT event_type, node_id, lease_epoch, created_at FROM job_events WHERE job_id = %s ORDER BY id"
        )
        return [Event(*row.values()) for row in rows]

    def states(self) -> list[str]:
        return [event.state for event in self.events()]

    def runs(self) -> list[str | None]:
        """Return the workers that began it, one for each attempt."""
        return [event.node_id for event in self.events() if event.state == "RUNNING"]

    def at(self, state: str) -> datetime:
        """Return when the job entered ``state`` last."""
        return next(event.at for event in reversed(self.events()) if event.state == state)

    def _fetch(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self._database_url, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), (self.id,)).fetchall()

    def wait_for_commits(self, count: int = 2) -> None:
        before = len(self.lake.segments("blocks"))
        wait_for("commits", lambda: len(self.lake.segments("blocks")) >= before + count)
        assert self.row()["state"] == "RUNNING", "it was too quick to be disturbed"

    def wait_for_state(self, *states: str, timeout: float = 60.0) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            row = self.row()
            assert row["state"] not in TERMINAL or row["state"] in states, row
            return row if row["state"] in states else None

        return wait_for(f"job {self.id} to be {' or '.join(states)}", there, timeout)

    def wait_for_worker(self, node_id: str, timeout: float) -> None:
        """Wait until the job runs on ``node_id``."""
        wait_for(
            f"job {self.id} to run on {node_id}",
            lambda: (row := self.row())["state"] == "RUNNING" and row["worker_id"] == node_id,
            timeout,
        )

    @contextmanager
    def commit_held_up(self) -> Iterator[None]:
        """Hold the worker up in the middle of a commit, for as long as the server lives."""
        connection = psycopg.connect(self._database_url)
        with closing(connection):
            connection.execute("LOCK TABLE files IN SHARE MODE")
            wait_for("a commit that waits for us", self._commit_waits)
            yield

    def _commit_waits(self) -> bool:
        with psycopg.connect(self._database_url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO files%'"
            ).fetchone()
        return bool(row and row[0])

    def files(self) -> set[Path]:
        """Return all files of the dataset, whether they count or not."""
        return {path for path in self.lake.data_dir.rglob("*") if path.is_file()}

    def assert_exact(self, timeout: float = 60.0) -> None:
        """Wait for the end: each block once, in one line of segments, every cell right, and no other file."""
        self.wait_for_state("COMPLETED", timeout=timeout)
        self.lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
        if not _EXACT:
            self.lake.assert_equals_node(repeated_blocks(LENGTH))
            _EXACT.update(self.lake.tables())
        self.lake.assert_equals(_EXACT)


# The tables that were compared with the slow path, cell by cell; the other tests compare with these.
_EXACT: dict[str, Any] = {}


@contextmanager
def slow_job(
    cluster: Cluster,
    database_url: str,
    name: str,
    *,
    end_block: int | None = LAST_BLOCK,
    length: int = LENGTH,
    latency: float = 0.1,
) -> Iterator[Job]:
    """Deploy an extraction that takes some seconds, with a node of its own. Needs a controller.

    ``latency`` (seconds) of 0.1 makes it last 4 seconds and more; what starts a process meanwhile needs longer ones.
    """
    with replay_node(cluster.directory, "--length", str(length), "--latency", str(latency)) as (url, node):
        reference = register(
            cluster.admin_url,
            url,
            dataset=f"chaos/{name}",
            network=name,
            start_block=FIRST_BLOCK,
            concurrent_request_limit=2,
        )
        with Ampd(cluster.admin_url) as client:
            job_id = client.datasets.deploy(reference, end_block=end_block)
        yield Job(cluster, database_url, name, job_id, node)


def start_controller_at(cluster: Cluster, port: int) -> Process:
    """Start one more controller of the cluster, at another port."""
    log = cluster.directory / f"controller-{port}.log"
    environment = {"AMP_CONFIG_ADMIN_API_ADDR": f"127.0.0.1:{port}"}
    process = ampd("--config", str(cluster.config), "controller", log=log, environment=environment)
    cluster.processes.append(process)
    process.wait_for_text("controller.started")
    return process


def through(proxy: Proxy) -> dict[str, str]:
    """Return the environment that leads a daemon through ``proxy``."""
    return {"AMP_CONFIG_METADATA_DB__URL": proxy.url}


def kill(process: Process) -> None:
    process.signal(signal.SIGKILL)
    process.wait()


def assert_alive(*processes: Process) -> None:
    """No process has ended, and none shows a stack trace."""
    for process in processes:
        assert process.popen.poll() is None, process.text()
        assert "Traceback" not in process.text(), process.text()


def stays(what: str, probe: Callable[[], bool], seconds: float) -> None:
    """Ask ``probe`` for so long; fail as soon as it says no, naming ``what``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert probe(), f"no longer true: {what}"
        time.sleep(0.05)
