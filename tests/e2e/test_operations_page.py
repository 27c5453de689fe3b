"""Somebody follows docs/operations.md to the letter: installs, takes a backup, loses PostgreSQL, restores, upgrades.

The commands are those of the page. Paths of the system and the address are replaced by those of the test; accounts,
packages and systemd are the machine's own, so the test does what systemd reads in the units.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from ampd.chain.tables import TABLES
from ampd.client import Ampd
from ampd.datasets import generate_manifest
from ampd.metadata_db import EmbeddedPostgres
from ampd.metadata_db.server_account import binaries_dir
from support.daemons import Process, ampd_starts, free_port, wait_for
from support.lake import files_on_disk, read_table, registered_files
from support.nodes import FIRST_BLOCK, LAST_BLOCK
from support.pages import commands_in
from support.shell import MISSING_TOOLS
from support.tls import certificate_in
from support.units import unit_in, variables_in

pytestmark = pytest.mark.skipif(bool(MISSING_TOOLS), reason=f"the page's commands need {', '.join(MISSING_TOOLS)}")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
DATASET = "ethereum/mainnet"
REFERENCE = f"{DATASET}@1.0.0"
MIDDLE = FIRST_BLOCK + 12
# These change the machine itself.
NOT_RUN = re.compile(r"useradd |python3 -m venv |/opt/ampd/bin/pip ")


class Machine:
    """A machine with a shell, whose variables last from one command to the next, and with services."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.token = "amp_none"
        self._state = directory / "state"
        self._services: dict[str, Process] = {}
        self._places = {
            "/etc/ampd": str(directory / "etc"),
            "/etc/systemd/system": str(directory / "system"),
            "/opt/ampd/bin": str(Path(sys.executable).parent),
            "/var/lib/ampd": str(directory / "var"),
            "https://one.example.com:1610": f"https://127.0.0.1:{self.port}",
        }
        for name in ("system", "var/providers", "var/manifests", "keys"):
            (directory / name).mkdir(parents=True)
        self._certificate, self._key = certificate_in(directory / "keys")
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{binaries_dir()}:/usr/bin:/bin",
            "SSL_CERT_FILE": str(self._certificate),  # of an authority that the machine does not know
            "CURL_CA_BUNDLE": str(self._certificate),
        }
        self._set(environment)

    def _set(self, variables: dict[str, str]) -> None:
        with self._state.open("a", encoding="utf-8") as state:
            state.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())

    def here(self, text: str) -> str:
        """Return ``text`` with the places of this machine."""
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text.replace("amp_…", self.token)

    def use(self, server: EmbeddedPostgres) -> None:
        """Have the administrator of PostgreSQL's commands work on ``server``, and ampd use it, as its files say."""
        self._set({"PGHOST": re.sub(r".*host=([^&]+).*", r"\1", server.url).replace("%2F", "/"), "PGUSER": "postgres"})
        self.url = server.url.replace("postgres@/postgres", "ampd@/ampd")

    def edit_files(self) -> None:
        """Do what the page says is to be edited."""
        etc = self.directory / "etc"
        config = self.here((etc / "config.toml").read_text(encoding="utf-8"))
        (etc / "config.toml").write_text(config.replace("0.0.0.0:1610", f"127.0.0.1:{self.port}"), encoding="utf-8")
        variables = self.here((etc / "ampd.env").read_text(encoding="utf-8"))
        changed = re.sub(r"(?<=AMP_CONFIG_METADATA_DB__URL=).*", lambda _: shlex.quote(self.url), variables)
        (etc / "ampd.env").write_text(changed, encoding="utf-8")
        (etc / "tls.pem").write_bytes(self._certificate.read_bytes())
        (etc / "tls.key").write_bytes(self._key.read_bytes())

    def type(self, command: str) -> str:
        """Type a command of the page and return what it printed; it must succeed."""
        if NOT_RUN.match(command):
            return ""
        if command.startswith("systemctl "):
            self._systemctl(*shlex.split(command)[1:])
            return ""
        script = f". {self._state}\n{self.here(command)}\ncode=$?\nexport -p > {self._state}\nexit $code"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT if "examples/" in command else self.directory,
            input="password\npassword\n",  # createuser asks twice
            capture_output=True,
            text=True,
            env={},
            start_new_session=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def _systemctl(self, verb: str, *words: str) -> None:
        name = words[-1] if words else ""
        if verb == "restart":
            self.stop(name)
        if verb != "daemon-reload":
            self._start(name)

    def _start(self, name: str) -> None:
        unit = unit_in(self.directory / "system", name)
        variables = variables_in(Path(self.here(unit.option("EnvironmentFile"))))
        process = Process(
            [self.here(word) for word in unit.command[1:]],
            log=self.directory / f"{name}-{len(list(self.directory.glob('*.log')))}.log",
            environment={key: value.strip("'") for key, value in variables.items()},
            start=ampd_starts[-1],
        )
        self._services[name] = process
        process.wait_for_text("controller.started" if "controller" in name else "worker.registered")

    def stop(self, name: str) -> None:
        """Stop a service in the time that its unit gives it."""
        unit = unit_in(self.directory / "system", name)
        assert self._services.pop(name).end(unit.seconds("TimeoutStopSec")) == 0

    def stop_all(self) -> None:
        for name in list(self._services):
            self.stop(name)

    def end(self) -> None:
        for process in self._services.values():
            process.end()

    def rows(self) -> dict[str, pa.Table]:
        """Return the rows that count."""
        return {name: read_table(self.url, self.directory / "var" / "data", name, DATASET) for name in TABLES}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def first_server(postgres_server: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """The server that is lost; nobody else uses the database and the account of the page."""
    yield postgres_server
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE ampd WITH (FORCE)")
        connection.execute("DROP ROLE ampd")


def extract(api: Ampd, end_block: int) -> None:
    """Extract up to a block, and wait for the end."""
    job_id = api.datasets.deploy(REFERENCE, end_block=end_block)
    ended = wait_for("the job", lambda: (job := api.jobs.get(job_id)).status in ("COMPLETED", "FAILED") and job, 60)
    assert ended.status == "COMPLETED", ended.last_error


def install(machine: Machine) -> None:
    """Follow the page until a worker is listed, and controllers answer those who ask for their health."""
    said = ""
    for command in commands_in(PAGE, "## Install on several machines"):
        if command.startswith("set -a"):
            machine.edit_files()
        said = machine.type(command)
        if "token create" in command:
            machine.token = said.strip()
    assert "eth-1" in said, "the last command lists the workers"
    for command in commands_in(PAGE, "## Load balancers"):
        assert " 200 " in machine.type(command).splitlines()[0]


def lose_all_but_the_lake(machine: Machine) -> None:
    machine.stop_all()
    for name in ("providers", "manifests"):
        for file in (machine.directory / "var" / name).iterdir():
            file.unlink()


@pytest.mark.long
def test_a_newcomer_can_follow_the_page(
    machine: Machine,
    first_server: EmbeddedPostgres,
    recorded_node: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine.use(first_server)
    install(machine)
    monkeypatch.setenv("SSL_CERT_FILE", str(machine.directory / "etc" / "tls.pem"))
    backup, restore = _split(commands_in(PAGE, "## Backup and restore"), "createuser")
    data = machine.directory / "var" / "data"
    with Ampd(f"https://127.0.0.1:{machine.port}", machine.token) as api:
        api.providers.register("mainnet", "evm-rpc", {"network": "mainnet", "url": recorded_node})
        manifest = generate_manifest("evm-rpc", "mainnet", FIRST_BLOCK, False).to_json()
        api.datasets.register(DATASET, manifest, "1.0.0")
        extract(api, MIDDLE)
        for command in backup:
            machine.type(command)
        extract(api, LAST_BLOCK)
    rows, all_files = machine.rows(), files_on_disk(data, "blocks", DATASET)
    lose_all_but_the_lake(machine)

    with EmbeddedPostgres(tmp_path_factory.mktemp("second") / "metadb", settings={"fsync": "off"}) as second:
        machine.use(second)
        machine.edit_files()
        said = [machine.type(command) for command in restore]
        assert said[-1].endswith("Nothing is pending.\n")
        restored = machine.rows()["blocks"]["_block_num"].to_pylist()
        assert restored == list(range(FIRST_BLOCK, MIDDLE + 1)), "the state of the dump"
        for name in ("ampd-controller", "ampd-worker@eth-1"):
            machine.type(f"systemctl start {name}")
        with Ampd(f"https://127.0.0.1:{machine.port}", machine.token) as api:
            extract(api, LAST_BLOCK)
        assert {name: table.equals(rows[name]) for name, table in machine.rows().items()} == dict.fromkeys(TABLES, True)
        assert not all_files <= {*registered_files(machine.url, data, "blocks", DATASET)}, "late files do not count"

        said = [machine.type(command) for command in commands_in(PAGE, "## Upgrades")]
        assert said[-1] == "No migration of the phase post is pending.\n"
        machine.stop_all()


def _split(commands: list[str], first: str) -> tuple[list[str], list[str]]:
    """Return the commands of a backup and those of a restore, which begin with ``first``; not those for solo."""
    ours = [command for command in commands if "amp-backup" not in command]
    at = next(number for number, command in enumerate(ours) if command.startswith(first))
    return ours[:at], ours[at:]


@contextmanager
def solo_in(folder: Path, port: int) -> Iterator[None]:
    process = Process(
        ["solo", "--amp-dir", str(folder / "amp")],
        log=folder / "solo.log",
        environment={"AMP_CONFIG_ADMIN_API_ADDR": f"127.0.0.1:{port}"},
        start=ampd_starts[-1],
    )
    try:
        process.wait_for_text("controller.started", timeout=60)
        yield
    finally:
        process.end()


@pytest.mark.long
def test_a_copied_folder_is_the_same_solo(tmp_path: Path) -> None:
    (command,) = [each for each in commands_in(PAGE, "## Backup and restore") if "amp-backup" in each]
    port, first, second = free_port(), tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with solo_in(first, port), Ampd(f"http://127.0.0.1:{port}") as api:
        token = api.tokens.create("admin", name="boss").token
    subprocess.run(["bash", "-c", command], cwd=first, check=True, timeout=60)
    subprocess.run(["tar", "-xzf", str(first / "amp-backup.tar.gz"), "-C", str(second)], check=True, timeout=60)
    with solo_in(second, port), Ampd(f"http://127.0.0.1:{port}", token) as api:
        assert [each.name for each in api.tokens.list()] == ["boss"]
