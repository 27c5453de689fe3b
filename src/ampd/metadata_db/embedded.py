"""The embedded PostgreSQL of ``ampd solo`` and of the tests: a real server, started and stopped by us.

The server listens on a Unix socket in a private directory and on nothing else, so whoever may enter that
directory needs no password. Everything survives ``kill -9``: fsync is on, a new cluster appears only when it
is complete, and a start finds out by connecting, never by a process id, whether a server is there.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import psycopg

from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db.server_account import ServerAccount, binaries_dir, user_name

MAJOR_VERSION = "18"
PORT = 5432  # only part of the socket's name: nothing listens on TCP
LONGEST_SOCKET_PATH = 107  # sockaddr_un.sun_path on Linux; macOS allows 103
START_TIMEOUT_SECONDS = 60.0
# A server that neither answers nor says that it is starting up is half dead after this time.
SILENCE_SECONDS = 5.0
# The polite way, the quick way (the log is replayed at the next start), and the last one, with the patience
# for each.
HARD_SIGNALS = ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
STOP_SIGNALS = ((signal.SIGINT, 30.0), *HARD_SIGNALS)
# Words of a server that gives way to another one, which is still ending or just starting.
NOT_YET = ("shared memory block", '"postmaster.pid" already exists', '"postmaster.pid" is empty')
# A pid file without a pid is one that is being written, or, when it is older than this, one that a power cut emptied.
UNFINISHED_SECONDS = 2.0
LARGEST_LOG_BYTES = 16 * 1024 * 1024
SOCKET_DIR_PREFIX = "ampd-pg-"

# For a laptop or a small container that runs everything else as well. Durability is left as it is: on.
SETTINGS: Mapping[str, str] = {
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "64MB",
    "io_method": "sync",
    "jit": "off",
    "huge_pages": "off",
    "max_parallel_workers_per_gather": "0",
    "max_worker_processes": "4",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class _Postmaster:
    """What ``postmaster.pid`` says about the server that wrote it."""

    pid: int
    socket_dir: str
    port: int


class EmbeddedPostgres:
    """One PostgreSQL server over one data directory, owned by this process until :meth:`stop`.

    :param data_dir: the cluster; made when it does not exist. Beside it lies ``<data_dir>.lock``, inside it
        ``server.log``.
    :param settings: PostgreSQL settings over ours (tests use them to give up durability for speed).

    All methods block: call them through a thread from a running event loop.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.log_file = self.data_dir / "server.log"
        self._fresh_prefix = f".{self.data_dir.name}.initdb-"
        self._settings = {**SETTINGS, **(settings or {})}
        self._lock: IO[str] | None = None
        self._account: ServerAccount | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._taken_over: int | None = None  # the pid of a server that is not our child
        self._socket_dir: Path | None = None
        self._port = PORT

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL of the database ``postgres`` of the running server."""
        if self._socket_dir is None:
            raise RuntimeError("the embedded PostgreSQL is not running: call start() first")
        return _url(str(self._socket_dir), self._port)

    def start(self) -> None:
        """Start the server, or take over the one that a killed owner left running; return when it answers.

        :raises AmpError: AMP_DIR_IN_USE when another process owns the directory; EMBEDDED_DB_FAILED
            otherwise, with the last lines of the server's log.
        """
        if self._lock is not None:
            return
        self._lock = _lock_directory(self.data_dir)
        try:
            self._account = ServerAccount.choose(self.data_dir)
            self._account.require_reachable(binaries_dir() / "postgres")
            self._account.require_reachable(self.data_dir)
            self._make_cluster()
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not self._take_over(deadline) and not self._launch(deadline):
                time.sleep(0.1)
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise self._failure(f"{error.cmd[-1]} did not end within {error.timeout:.0f} s") from error
        except OSError as error:
            self.stop()
            raise self._failure(str(error)) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and give the directory free. Does nothing when it is not running."""
        if self._lock is None:
            return
        try:
            self._stop_server()
        finally:
            self._drop_socket_dir()
            self._lock.close()
            self._lock = None

    # A cluster is complete or not there.

    def _make_cluster(self) -> None:
        for leftover in self.data_dir.parent.iterdir():
            if leftover.name.startswith(self._fresh_prefix):
                shutil.rmtree(leftover, ignore_errors=True)
        version_file = self.data_dir / "PG_VERSION"
        if not version_file.exists():
            self._initdb()
        version = version_file.read_text().strip()
        if version != MAJOR_VERSION:
            raise self._failure(
                f"the data was written by PostgreSQL {version}, this is PostgreSQL {MAJOR_VERSION}. "
                "Move the directory away, or bring its data over with pg_upgrade"
            )
        self._check_owner()

    def _initdb(self) -> None:
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise self._failure("the directory holds files, but no PostgreSQL data. Choose another one, or empty it")
        account = self._running_account()
        fresh = Path(tempfile.mkdtemp(prefix=self._fresh_prefix, dir=self.data_dir.parent))
        try:
            account.own(fresh, 0o700)
            command: list[str | Path] = [
                binaries_dir() / "initdb",
                "-D",
                fresh,
                "-U",
                "postgres",
                "-A",
                "trust",
            ]
            command += ["-E", "UTF8", "--locale=C", "--no-instructions"]
            if self._settings.get("fsync") == "off":
                command.append("--no-sync")
            done = account.run(command, env=_environment(), timeout=120)
            if done.returncode != 0:
                raise self._failure(f"initdb failed: {_last_lines(done.stdout)}")
            fresh.rename(self.data_dir)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        _sync_directory(self.data_dir.parent)

    def _check_owner(self) -> None:
        account = self._running_account()
        owner = self.data_dir.stat().st_uid
        if owner != account.uid:
            if os.geteuid() != 0:
                raise self._failure(
                    f"the directory belongs to user {user_name(owner)}, and ampd runs as "
                    f"{user_name(account.uid)}. Run ampd as the owner, or choose another directory"
                )
            account.own_tree(self.data_dir)
        self.data_dir.chmod(0o700)

    # What a killed owner left behind.

    def _take_over(self, deadline: float) -> bool:
        """Attach to a living server of this directory. False: none lives, and a dead one is cleared away."""
        silent_since = time.monotonic()
        while (left := _read_postmaster(self.data_dir)) and _is_postgres_of(left.pid, self.data_dir):
            answer = self._probe(left.socket_dir, left.port)
            if answer == "ready":
                self._taken_over, self._socket_dir, self._port = left.pid, Path(left.socket_dir), left.port
                return True
            now = time.monotonic()
            if answer == "busy":
                silent_since = now
            if now > deadline or now - silent_since > SILENCE_SECONDS:
                self._taken_over = left.pid
                self._stop_server(HARD_SIGNALS)
            time.sleep(0.05)
        self._clear_leftovers(left)
        return False

    def _clear_leftovers(self, left: _Postmaster | None) -> None:
        """Remove the lock files of a server that is gone.

        PostgreSQL itself would believe them when the pid in them is a zombie, or was given to another process
        of this user. Backends that are still alive are found by their shared memory.
        """
        pid_file = self.data_dir / "postmaster.pid"
        if left is None and pid_file.exists() and time.time() - pid_file.stat().st_mtime < UNFINISHED_SECONDS:
            return  # a server may just be writing it
        for name in (pid_file.name, f".s.PGSQL.{PORT}.lock", f".s.PGSQL.{PORT}"):
            (self.data_dir / name).unlink(missing_ok=True)
        if left is not None:
            _remove_private_socket_dir(Path(left.socket_dir), self._running_account().uid)

    def _probe(self, socket_dir: str, port: int) -> str:
        """Ask a server: ``ready`` (it serves our directory), ``busy`` (it starts or stops) or ``silent``."""
        if not socket_dir:
            return "silent"
        try:
            with psycopg.connect(_url(socket_dir, port), autocommit=True, connect_timeout=2) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            # An error while connecting has no SQLSTATE in libpq, only the server's words: "the database
            # system is starting up".
            return "busy" if "the database system is" in str(error) else "silent"
        return "ready" if row and Path(row[0]).resolve() == self.data_dir.resolve() else "silent"

    # Starting and stopping.

    def _launch(self, deadline: float) -> bool:
        """Start a server and wait until it answers. False: another one still ends or just starts."""
        self._port = PORT
        self._socket_dir = self._choose_socket_dir()
        with self._open_log() as log:
            begin = log.tell()
            self._process = self._spawn(log)
            while self._probe(str(self._socket_dir), self._port) != "ready":
                ended = self._process.poll()
                in_time = time.monotonic() < deadline
                if ended is not None:
                    said = self._log_since(begin)
                    if in_time and any(words in said for words in NOT_YET):
                        self._process = None
                        self._drop_socket_dir()
                        return False
                    raise self._failure(f"the server ended with exit code {ended}", said)
                if not in_time:
                    raise self._failure(f"no answer within {START_TIMEOUT_SECONDS:.0f} s", self._log_since(begin))
                time.sleep(0.02)
        return True

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command: list[str | Path] = [binaries_dir() / "postgres", "-D", self.data_dir]
        command += ["-h", "", "-k", str(self._socket_dir), "-p", str(self._port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        return self._running_account().spawn(command, env=_environment(), log=log)

    def _stop_server(self, signals: Sequence[tuple[signal.Signals, float]] = STOP_SIGNALS) -> None:
        """Stop our child, or the server that we took over; no process that is not proven to be that."""
        for number, patience in signals:
            if not self._lives():
                break
            pid = self._process.pid if self._process is not None else self._taken_over
            if pid is not None:
                os.kill(pid, number)
            deadline = time.monotonic() + patience
            while self._lives() and time.monotonic() < deadline:
                time.sleep(0.01)
        if self._lives():
            raise self._failure("the server does not end, not even by SIGKILL. See dmesg for a stuck disk")
        self._process = self._taken_over = None

    def _lives(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return self._taken_over is not None and _is_postgres_of(self._taken_over, self.data_dir)

    def _choose_socket_dir(self) -> Path:
        """Return the data directory, or a short private one when libpq could not use that path."""
        socket = self.data_dir / f".s.PGSQL.{PORT}"
        if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH and re.fullmatch(r"[\w./+:=@%-]+", str(socket)):
            return self.data_dir
        short = Path(tempfile.mkdtemp(prefix=SOCKET_DIR_PREFIX))
        if len(os.fsencode(short / socket.name)) > LONGEST_SOCKET_PATH:
            short.rmdir()
            raise self._failure(
                f"the path of the directory for temporary files, {short.parent}, is too long. Set TMPDIR=/tmp"
            )
        self._running_account().require_reachable(short)
        self._running_account().own(short, 0o700)
        return short

    def _drop_socket_dir(self) -> None:
        if self._socket_dir is not None and self._socket_dir != self.data_dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        self._socket_dir = None

    # The server's log.

    def _open_log(self) -> IO[bytes]:
        if self.log_file.exists() and self.log_file.stat().st_size > LARGEST_LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        # The directory belongs to another user when we are root: never follow a link out of it.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.fdopen(os.open(self.log_file, flags, 0o600), "ab")
        if os.geteuid() == 0:
            account = self._running_account()
            os.fchown(log.fileno(), account.uid, account.gid)
        log.seek(0, os.SEEK_END)
        return log

    def _log_since(self, begin: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def _failure(self, what: str, log: str = "") -> AmpError:
        said = f". Last lines of {self.log_file}: {_last_lines(log)}" if log.strip() else ""
        return AmpError(ErrorCode.EMBEDDED_DB_FAILED, f"the embedded PostgreSQL in {self.data_dir}: {what}{said}")

    def _running_account(self) -> ServerAccount:
        if self._account is None:
            raise RuntimeError("the account is chosen by start()")
        return self._account


def _url(socket_dir: str, port: int) -> str:
    return f"postgresql://postgres@/postgres?host={quote(socket_dir, safe='')}&port={port}"


def _environment() -> dict[str, str]:
    """Return our environment without what would change the programs or the language of their messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def _lock_directory(data_dir: Path) -> IO[str]:
    """Take the lock of ``data_dir``: the kernel gives it free when this process ends, however it ends."""
    path = data_dir.with_name(f"{data_dir.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    except OSError as error:
        raise AmpError(
            ErrorCode.EMBEDDED_DB_FAILED,
            f"the embedded PostgreSQL cannot use {data_dir}: {error.strerror}. Choose a directory that user "
            f"{user_name(os.geteuid())} may write to",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with lock:
            owner = lock.read().strip() or "unknown"
        raise AmpError(
            ErrorCode.AMP_DIR_IN_USE,
            f"the directory {data_dir} is in use by another ampd (process {owner}). "
            "Stop that one, or choose another directory",
            context={"pid": owner, "directory": str(data_dir)},
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _read_postmaster(data_dir: Path) -> _Postmaster | None:
    """Return what ``postmaster.pid`` says; None when it is missing or holds no pid.

    Its lines: pid, data directory, start time, port, first socket directory, listen address, shared memory,
    state. A server that is just starting has not written all of them yet.
    """
    try:
        lines = (data_dir / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    lines += [""] * (5 - len(lines))
    if not lines[0].strip().isdecimal():
        return None
    port = lines[3].strip()
    return _Postmaster(int(lines[0]), lines[4].strip(), int(port) if port.isdecimal() else PORT)


def _is_postgres_of(pid: int, data_dir: Path) -> bool:
    """Prove by its command line that ``pid`` is a living (no zombie) PostgreSQL server of ``data_dir``."""
    if Path("/proc/self/cmdline").exists():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        arguments = [os.fsdecode(word) for word in words]
        if Path(arguments[0]).name != "postgres" or "-D" not in arguments[:-1]:
            return False
        return Path(arguments[arguments.index("-D") + 1]).resolve() == data_dir.resolve()
    shown = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    return "postgres" in shown.stdout and f"-D {data_dir} " in shown.stdout


def _remove_private_socket_dir(directory: Path, uid: int) -> None:
    """Remove the short socket directory of a server that died without us; any other directory stays."""
    ours = directory.name.startswith(SOCKET_DIR_PREFIX) and directory.parent == Path(tempfile.gettempdir())
    if ours and directory.is_dir() and not directory.is_symlink() and directory.stat().st_uid == uid:
        shutil.rmtree(directory, ignore_errors=True)


def _sync_directory(directory: Path) -> None:
    """Make a rename inside ``directory`` last through a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_lines(text: str, count: int = 5) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:])
