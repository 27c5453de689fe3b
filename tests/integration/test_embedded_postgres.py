"""The embedded PostgreSQL: what it survives, what it refuses, and how closed it is."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import EmbeddedPostgres, embedded, server_account
from ampd.metadata_db.server_account import ServerAccount, binaries_dir

PATIENCE_SECONDS = 30.0
ROWS = 1000
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: checks how root gives up its rights")

# An owner in a process of its own: says which server it started, then holds it until it is told to end.
OWNER = """
import sys
from pathlib import Path
from ampd.metadata_db import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print((server.data_dir / "postmaster.pid").read_text().split()[0], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def filled_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped cluster with rows in it, to copy from."""
    data_dir = tmp_path_factory.mktemp("filled") / "metadb"
    with EmbeddedPostgres(data_dir) as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, %s::int) AS n", [ROWS])
    return data_dir


@pytest.fixture
def data_dir(filled_cluster: Path, tmp_path: Path) -> Path:
    """A stopped cluster of one's own. Root's copy belongs to root: the server has to take it over."""
    return Path(shutil.copytree(filled_cluster, tmp_path / "amp" / "metadb"))


@pytest.fixture
def start_owner() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Start an owner as another process, in a session of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(data_dir: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", OWNER, str(data_dir)]
        pipe = subprocess.PIPE
        owner = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        started.append(owner)
        return owner

    yield start
    for owner in started:
        owner.communicate()


def postmaster_of(owner: subprocess.Popen[str]) -> int:
    assert owner.stdout is not None
    return int(owner.stdout.readline())


def postmaster_pid(server: EmbeddedPostgres) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().split()[0])


def kill_owner(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()


def rows_in(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return int(row[0])


def show(server: EmbeddedPostgres, setting: str) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
    assert row is not None
    return str(row[0])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.005)


def test_a_new_server_is_durable_and_listens_on_no_network(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "metadb") as server:
        assert (show(server, "fsync"), show(server, "full_page_writes")) == ("on", "on")
        assert show(server, "synchronous_commit") == "on"
        assert show(server, "data_checksums") == "on"
        assert show(server, "listen_addresses") == ""
        assert stat.S_IMODE(Path(show(server, "unix_socket_directories")).stat().st_mode) == 0o700
        assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_rows_are_there_after_stop_and_start(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    for _ in range(2):
        server.start()
        assert rows_in(server) == ROWS
        server.stop()
    assert not (data_dir / "postmaster.pid").exists()


def test_a_killed_server_starts_again_with_all_rows(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("INSERT INTO kept VALUES (0)")
        os.kill(postmaster_pid(server), signal.SIGKILL)
    with EmbeddedPostgres(data_dir) as server:
        assert rows_in(server) == ROWS + 1


def test_a_server_whose_owner_was_killed_is_taken_over_and_then_stopped(
    data_dir: Path, start_owner: Callable[[Path], subprocess.Popen[str]]
) -> None:
    owner = start_owner(data_dir)
    orphan = postmaster_of(owner)
    kill_owner(owner)
    with EmbeddedPostgres(data_dir) as server:
        assert postmaster_pid(server) == orphan
        assert rows_in(server) == ROWS
    assert not embedded._is_postgres_of(orphan, data_dir)


def test_killing_owner_and_server_loses_no_row(
    data_dir: Path, start_owner: Callable[[Path], subprocess.Popen[str]]
) -> None:
    owner = start_owner(data_dir)
    orphan = postmaster_of(owner)
    kill_owner(owner)
    os.kill(orphan, signal.SIGKILL)
    with EmbeddedPostgres(data_dir) as server:
        assert postmaster_pid(server) != orphan
        assert rows_in(server) == ROWS


def test_a_server_that_is_only_a_zombie_is_not_mistaken_for_a_living_one(
    data_dir: Path, start_owner: Callable[[Path], subprocess.Popen[str]], adopt_orphans: None
) -> None:
    owner = start_owner(data_dir)
    orphan = postmaster_of(owner)
    kill_owner(owner)
    os.kill(orphan, signal.SIGKILL)
    wait_until(lambda: Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    with EmbeddedPostgres(data_dir) as server:
        assert postmaster_pid(server) != orphan
        assert rows_in(server) == ROWS


@pytest.fixture
def adopt_orphans() -> Iterator[None]:
    """Make this process a container's first process that never looks after its children."""
    if not sys.platform.startswith("linux"):
        pytest.skip("child subreapers are a thing of Linux")
    set_child_subreaper = 36
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(set_child_subreaper, 1) == 0
    yield
    libc.prctl(set_child_subreaper, 0)
    for child in _zombies_of_ours():
        os.waitpid(child, 0)


def _zombies_of_ours() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] == "Z" and int(fields[1]) == os.getpid():
            found.append(int(path.parent.name))
    return found


def test_a_server_that_hangs_is_ended_and_replaced(
    data_dir: Path,
    start_owner: Callable[[Path], subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(embedded, "HARD_SIGNALS", ((signal.SIGQUIT, 0.2), (signal.SIGKILL, 5.0)))
    owner = start_owner(data_dir)
    orphan = postmaster_of(owner)
    kill_owner(owner)
    os.kill(orphan, signal.SIGSTOP)
    with EmbeddedPostgres(data_dir) as server:
        assert postmaster_pid(server) != orphan
        assert rows_in(server) == ROWS


def test_a_server_that_starts_behind_our_back_is_taken_over_and_stopped(
    data_dir: Path, start_owner: Callable[[Path], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner killed right after it started its server: the pid file appears after we looked for one."""
    owner = start_owner(data_dir)
    orphan = postmaster_of(owner)
    kill_owner(owner)
    really, looks = embedded._read_postmaster, iter([None])
    monkeypatch.setattr(embedded, "_read_postmaster", lambda path: next(looks, really(path)))
    monkeypatch.setattr(EmbeddedPostgres, "_clear_leftovers", lambda self, left: None)
    monkeypatch.setattr(embedded, "PORT", 5433)  # the race is for the directory, not for the socket's name
    with EmbeddedPostgres(data_dir) as server:
        assert postmaster_pid(server) == orphan
        assert rows_in(server) == ROWS
    assert not embedded._is_postgres_of(orphan, data_dir)


def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(data_dir: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (data_dir / "postmaster.pid").write_text(f"{stranger.pid}\n{data_dir}\n1700000000\n5432\n{data_dir}\n\n\n")
    with EmbeddedPostgres(data_dir) as server:
        assert rows_in(server) == ROWS
    assert stranger.poll() is None
    stranger.communicate(b"\n")


@pytest.mark.parametrize("age_seconds", [0.0, 3600.0])
def test_an_empty_pid_file_does_not_stop_the_start(data_dir: Path, age_seconds: float) -> None:
    pid_file = data_dir / "postmaster.pid"
    pid_file.touch()
    written = pid_file.stat().st_mtime - age_seconds
    os.utime(pid_file, (written, written))
    with EmbeddedPostgres(data_dir) as server:
        assert rows_in(server) == ROWS


def test_a_second_owner_is_refused_and_told_who_owns_the_directory(
    data_dir: Path, start_owner: Callable[[Path], subprocess.Popen[str]]
) -> None:
    owner = start_owner(data_dir)
    postmaster_of(owner)
    with pytest.raises(AmpError) as refused:
        EmbeddedPostgres(data_dir).start()
    assert refused.value.code == ErrorCode.AMP_DIR_IN_USE
    assert str(owner.pid) in refused.value.message
    assert str(data_dir) in refused.value.message
    owner.communicate()  # the refusal must not have disturbed it: it ends in order
    assert owner.returncode == 0


def test_an_initdb_killed_half_way_leaves_no_broken_cluster(
    tmp_path: Path, start_owner: Callable[[Path], subprocess.Popen[str]]
) -> None:
    data_dir = tmp_path / "metadb"
    owner = start_owner(data_dir)
    wait_until(lambda: any(tmp_path.glob(".metadb.initdb-*/base")))
    os.killpg(owner.pid, signal.SIGKILL)
    owner.wait()
    assert not data_dir.exists()
    with EmbeddedPostgres(data_dir) as server:
        assert show(server, "data_directory") == str(data_dir)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metadb", "metadb.lock"]


@pytest.mark.parametrize("name", ["d" * 120, 'it\'s $HOME, `id` "quoted" [x]'])
def test_long_and_strange_paths_work_and_leave_nothing_behind(
    filled_cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    short = tmp_path / "tmp"
    short.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(short))
    data_dir = Path(shutil.copytree(filled_cluster, tmp_path / name))
    with EmbeddedPostgres(data_dir) as server:
        assert rows_in(server) == ROWS
        assert [stat.S_IMODE(path.stat().st_mode) for path in short.iterdir()] == [0o700]
    assert list(short.iterdir()) == []


@root_only
def test_as_root_the_programs_too_may_lie_below_a_private_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a checkout below root's own home: PostgreSQL must find its programs there by access(2)."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    installation = binaries_dir().parent
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")  # found by their place relative to the programs
    shutil.copytree(libraries, private / libraries.name, symlinks=True)
    copy = private / package.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    monkeypatch.setattr(embedded, "binaries_dir", lambda: copy / "bin")
    with EmbeddedPostgres(private / "metadb") as server:
        assert show(server, "data_directory") == str(private / "metadb")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@root_only
def test_as_root_private_parents_stay_private_and_the_server_has_one_right_only(
    filled_cluster: Path, tmp_path: Path
) -> None:
    parent = tmp_path / "private" / "deeper"
    parent.mkdir(parents=True)
    for path in (parent.parent, parent):
        path.chmod(0o700)
    before = [path.stat().st_mode for path in (parent, *parent.parents)]
    data_dir = Path(shutil.copytree(filled_cluster, parent / "metadb"))
    with EmbeddedPostgres(data_dir) as server:
        assert rows_in(server) == ROWS
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{postmaster_pid(server)}/status").read_text().splitlines()
            if ":\t" in line
        )
    nobody = pwd.getpwnam("nobody")
    assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
    assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
    assert status["Groups"].split() == []
    read_search = 1 << 2
    assert int(status["CapEff"], 16) in {0, read_search}
    assert int(status["CapBnd"], 16) == read_search
    assert [path.stat().st_mode for path in (parent, *parent.parents)] == before


@root_only
def test_as_root_without_the_capability_the_closed_directory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_account, "_setpriv", lambda uid, gid: ())
    monkeypatch.setattr(embedded, "binaries_dir", lambda: Path("/usr/bin"))
    tmp_path.chmod(0o700)
    with pytest.raises(AmpError) as refused:
        EmbeddedPostgres(tmp_path / "metadb").start()
    assert refused.value.code == ErrorCode.EMBEDDED_DB_FAILED
    assert "may not enter" in refused.value.message
    assert "chmod o+x" in refused.value.message


@root_only
def test_root_that_may_not_become_another_user_is_told_so(tmp_path: Path) -> None:
    weak_root = ["setpriv", "--bounding-set=-setuid,-setgid", sys.executable, "-c", OWNER, str(tmp_path / "metadb")]
    done = subprocess.run(weak_root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "does not let root become user nobody" in done.stderr


@root_only
def test_a_directory_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    account = ServerAccount.choose(tmp_path / "metadb")
    said = account.run([sys.executable, "-c", OWNER, tmp_path / "metadb"], env=dict(os.environ), timeout=60).stdout
    assert f"cannot use {tmp_path / 'metadb'}: Permission denied" in said


@root_only
def test_a_normal_user_runs_the_server_as_himself(filled_cluster: Path, tmp_path: Path) -> None:
    account = ServerAccount.choose(tmp_path / "metadb")
    account.own(tmp_path, 0o700)
    data_dir = Path(shutil.copytree(filled_cluster, tmp_path / "metadb"))
    account.own_tree(data_dir)
    done = account.run([sys.executable, "-c", OWNER, data_dir], env=dict(os.environ), timeout=60)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "metadb.lock").stat().st_uid == account.uid


@root_only
def test_without_setpriv_the_rights_are_dropped_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_account, "_setpriv", lambda uid, gid: ())
    account = ServerAccount.choose(tmp_path / "metadb")
    said = account.run(["cat", "/proc/self/status"], env=dict(os.environ), timeout=10).stdout
    assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in said
    assert "CapEff:\t0000000000000000" in said


def test_a_server_that_cannot_start_says_why_and_gives_the_directory_free(data_dir: Path) -> None:
    broken = EmbeddedPostgres(data_dir, settings={"shared_buffers": "nonsense"})
    with pytest.raises(AmpError) as refused:
        broken.start()
    assert refused.value.code == ErrorCode.EMBEDDED_DB_FAILED
    assert 'invalid value for parameter "shared_buffers"' in refused.value.message
    assert str(data_dir / "server.log") in refused.value.message
    with EmbeddedPostgres(data_dir) as server:
        assert rows_in(server) == ROWS


def test_data_of_another_major_version_is_refused(data_dir: Path) -> None:
    (data_dir / "PG_VERSION").write_text("16\n")
    with pytest.raises(AmpError, match="written by PostgreSQL 16") as refused:
        EmbeddedPostgres(data_dir).start()
    assert refused.value.code == ErrorCode.EMBEDDED_DB_FAILED


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    stranger = tmp_path / "metadb" / "thesis.txt"
    stranger.parent.mkdir()
    stranger.write_text("ten years of work")
    with pytest.raises(AmpError, match="holds files") as refused:
        EmbeddedPostgres(stranger.parent).start()
    assert refused.value.code == ErrorCode.EMBEDDED_DB_FAILED
    assert stranger.read_text() == "ten years of work"


def test_a_stopped_server_has_no_url(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = EmbeddedPostgres(tmp_path / "metadb").url
