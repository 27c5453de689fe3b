"""Real ampd processes for tests: started on free ports, watched through their logs, always ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx

_T = TypeVar("_T")
POLL_SECONDS = 0.05


def wait_for(what: str, probe: Callable[[], _T | None], timeout: float = 30.0) -> _T:
    """Ask ``probe`` until it gives something true; fail after ``timeout`` seconds, naming ``what``."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited {timeout} s for {what}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Child(Protocol):
    """What is needed of a child process: the face of :class:`subprocess.Popen`."""

    pid: int

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: signal.Signals) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class StartChild(Protocol):
    def __call__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child: ...


def start_program(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
    """Start a program in a session of its own, its output appended to ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(
            arguments,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )


def start_interpreter(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
    """Start ``ampd`` as a user does."""
    return start_program([sys.executable, "-m", "ampd.cli.ampd", *arguments], log, environment)


# The tests have a quicker way: see conftest.py. Benchmarks do not.
ampd_starts: list[StartChild] = [start_interpreter]


class Process:
    """A child process whose output goes to a file."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        start: StartChild = start_program,
    ) -> None:
        self.log = log
        log.touch()
        self.popen = start(arguments, log, clean_environment(environment))

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for_text(self, text: str, timeout: float = 30.0) -> str:
        """Wait until a line of the output holds ``text`` and return that line."""

        def line() -> str | None:
            found = next((entry for entry in self.text().splitlines() if text in entry), None)
            assert found is not None or self.popen.poll() is None, f"ended before saying {text!r}:\n{self.text()}"
            return found

        return wait_for(f"{text!r} in {self.log}", line, timeout)

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        return self.popen.wait(timeout)

    def end(self, timeout: float = 30.0) -> int:
        """Ask the process to end, and make it."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()


def clean_environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment without settings of ampd, and with what is ``extra``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AMP_")}
    return {**clean, **(extra or {})}


def ampd(*arguments: str, log: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Start ``ampd`` with ``arguments``."""
    return Process(arguments, log=log, environment=environment, start=ampd_starts[-1])


def run_ampd(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``ampd`` to its end."""
    return _run("ampd.cli.ampd", arguments, environment)


def run_ampctl(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``ampctl`` to its end."""
    return _run("ampd.cli.ampctl", arguments, environment)


def _run(
    module: str, arguments: tuple[str, ...], environment: Mapping[str, str] | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        env=clean_environment(environment),
        timeout=120,
        check=False,
    )


class Cluster:
    """A controller and workers on one database; ``directory`` holds config, logs and lake."""

    def __init__(self, directory: Path, database_url: str, settings: str = "") -> None:
        self.directory = directory
        self.config = directory / "config.toml"
        self.port = free_port()
        self.admin_url = f"http://127.0.0.1:{self.port}"
        self.config.write_text(
            f'admin_api_addr = "127.0.0.1:{self.port}"\n{settings}\n[metadata_db]\nurl = "{database_url}"\n',
            encoding="utf-8",
        )
        self.processes: list[Process] = []

    def start_controller(self, *, environment: Mapping[str, str] | None = None) -> Process:
        process = self._start("controller", "controller", environment=environment)
        process.wait_for_text("controller.started")
        wait_for("the Admin API", self._is_up)
        return process

    def start_solo(self) -> Process:
        """Start controller and worker in one process."""
        log = self.directory / f"solo-{len(self.processes)}.log"
        process = ampd("solo", "--amp-dir", str(self.directory), log=log)
        self.processes.append(process)
        process.wait_for_text("worker.registered")
        wait_for("the Admin API", self._is_up)
        return process

    def start_worker(self, node_id: str, *, environment: Mapping[str, str] | None = None) -> Process:
        process = self._start(node_id, "worker", "--node-id", node_id, environment=environment)
        process.wait_for_text("worker.registered")
        return process

    def _start(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
        log = self.directory / f"{name}-{len(self.processes)}.log"
        process = ampd("--config", str(self.config), *arguments, log=log, environment=environment)
        self.processes.append(process)
        return process

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self.admin_url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def ampctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_ampctl(*arguments, environment={"AMP_ADMIN_URL": self.admin_url})

    def ampctl_json(self, *arguments: str) -> Any:
        done = self.ampctl(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def register(
        self,
        url: str,
        *,
        network: str = "mainnet",
        start_block: int = 0,
        name: str = "ethereum/mainnet",
        kind: str = "evm-rpc",
    ) -> None:
        """Register a provider for ``network`` at ``url``, and a dataset that uses it, through ampctl alone."""
        provider = self.directory / "provider.toml"
        provider.write_text(f'kind = "{kind}"\nnetwork = "{network}"\nurl = "{url}"\n', encoding="utf-8")
        manifest = self.directory / "manifest.json"
        for arguments in (
            ("provider", "register", network.replace("-", "_"), str(provider)),
            (
                *("manifest", "generate", "--kind", kind, "--network", network),
                *("--start-block", str(start_block), "--out", str(manifest)),
            ),
            ("dataset", "register", name, str(manifest), "--tag", "1.0.0"),
        ):
            done = self.ampctl(*arguments)
            assert done.returncode == 0, done.stderr

    def deploy(self, reference: str = "ethereum/mainnet@1.0.0", *options: str) -> int:
        return int(self.ampctl_json("dataset", "deploy", reference, *options)["job_id"])

    def create(self, kind: str, job_input: Mapping[str, Any], **options: Any) -> int:
        """Create a job of any kind and return its id."""
        answer = httpx.post(f"{self.admin_url}/jobs", json={"kind": kind, "input": dict(job_input), **options})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def job(self, job_id: int) -> Any:
        return httpx.get(f"{self.admin_url}/jobs/{job_id}").json()

    def progress(self, job_id: int) -> Any:
        return httpx.get(f"{self.admin_url}/jobs/{job_id}/progress").json()

    def wait_for_status(self, job_id: int, *statuses: str, timeout: float = 60.0) -> Any:
        def there() -> Any:
            job = self.job(job_id)
            return job if job["status"] in statuses else None

        return wait_for(f"job {job_id} to be {' or '.join(statuses)}", there, timeout)

    def wait_for_error(self, job_id: int, timeout: float = 60.0) -> Any:
        """Wait until the job has a ``last_error`` and return it."""
        return wait_for(f"an error of job {job_id}", lambda: self.job(job_id)["last_error"], timeout)

    def end(self) -> None:
        for process in reversed(self.processes):
            process.end()
