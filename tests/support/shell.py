"""An operator at a shell: the lines of the wanted documents, run as they are printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from support.daemons import Cluster, wait_for
from support.deploy import deploy, register_dataset
from support.nodes import FIRST_BLOCK, LAST_BLOCK

ROOT = Path(__file__).parents[2]
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
# `make tools` installs them from Debian. In CI nothing is left out: there a test without its tool fails.
TOOLS = ("bash", "jq", "curl", "script", "watch")
MISSING_TOOLS = [] if os.environ.get("CI") else [tool for tool in TOOLS if shutil.which(tool) is None]
Ran = subprocess.CompletedProcess[str]

# What a deploy is asked for, so that its job ends this way by itself; a job without an end is stopped.
_END_BLOCKS = {"COMPLETED": "latest", "FAILED": "-17686000", "STOPPED": None}


@dataclass(frozen=True)
class Operator:
    """Somebody at a shell, with ampctl on the PATH."""

    cluster: Cluster
    names: count[int] = field(default_factory=lambda: count(1))

    def sh(self, command: str, *, directory: Path = ROOT) -> Ran:
        """Run a command of the documents; the address of its Admin API is replaced by ours."""
        done = self.sh_unchecked(command, directory=directory)
        assert done.returncode == 0, done.stderr
        return done

    def environment(self) -> dict[str, str]:
        """Return the environment of the shell."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AMP_")}
        return environment | {
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "AMP_ADMIN_URL": self.cluster.admin_url,
            "TERM": "xterm",
        }

    def sh_unchecked(self, command: str, *, directory: Path = ROOT) -> Ran:
        command = command.replace("http://localhost:1610", self.cluster.admin_url)
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd=directory,
            timeout=60,
            check=False,
        )

    def on_terminal(self, command: str) -> list[str]:
        """Run a command as on a terminal and return its lines."""
        done = self.sh(f"script -qec '{command}' /dev/null </dev/null")
        return done.stdout.replace("\r", "").rstrip("\n").split("\n")

    def follow(self, *, worker_id: str | None = None) -> int:
        """Deploy ethereum/mainnet, and return its job when it has the recorded blocks and waits for more."""
        job_id = deploy(self.cluster, "ethereum/mainnet", worker_id=worker_id)

        def has_all_blocks() -> bool:
            tables = self.cluster.progress(job_id)["tables"]
            return bool(tables) and all(table["current_block"] == LAST_BLOCK for table in tables.values())

        wait_for("the recorded blocks", has_all_blocks)
        return job_id

    def ended_job(self, status: str) -> int:
        """Make a job that is COMPLETED, FAILED or STOPPED."""
        (job_id,) = self.ended_jobs(status)
        return job_id

    def ended_jobs(self, *statuses: str) -> list[int]:
        """Make a job for each of the statuses."""
        jobs = [self._ending_job(status) for status in statuses]
        for job_id, status in zip(jobs, statuses, strict=True):
            self.cluster.wait_for_status(job_id, status, timeout=30)
        return jobs

    def _ending_job(self, status: str) -> int:
        name = f"ended/job_{next(self.names)}"
        # One block is enough for a job that completes.
        register_dataset(self.cluster, name, "mainnet", start_block=LAST_BLOCK)
        job_id = deploy(self.cluster, name, end_block=_END_BLOCKS[status])
        if status == "STOPPED":
            httpx.put(f"{self.cluster.admin_url}/jobs/{job_id}/stop")
        return job_id

    def exists(self, job_id: int) -> bool:
        return httpx.get(f"{self.cluster.admin_url}/jobs/{job_id}").status_code == 200


def register_mainnet(cluster: Cluster, node_url: str) -> None:
    """Register the provider of the recorded blocks, and ethereum/mainnet under the versions of the documents."""
    cluster.register(node_url, start_block=FIRST_BLOCK)
    manifest = str(cluster.directory / "manifest.json")
    tagged = cluster.ampctl("dataset", "register", "ethereum/mainnet", manifest, "--tag", "0.0.0")
    assert tagged.returncode == 0, tagged.stderr


def assert_has_shape(answer: Any, sample: Any, where: str = "") -> None:
    """Everything in ``sample`` is in ``answer``, with values of the same type."""
    if isinstance(sample, dict):
        assert isinstance(answer, dict), where
        for key, value in sample.items():
            assert key in answer, f"{where}.{key} is missing"
            assert_has_shape(answer[key], value, f"{where}.{key}")
    elif isinstance(sample, list):
        assert isinstance(answer, list), where
        for item in answer:
            assert_has_shape(item, sample[0], f"{where}[]")
    elif isinstance(sample, str) and sample.endswith("Z"):
        assert re.fullmatch(TIMESTAMP, answer), f"{where}: {answer}"
    else:
        assert type(answer) is type(sample), f"{where}: {answer!r}"
