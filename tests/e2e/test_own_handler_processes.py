"""Handlers of one's own in real processes: killed, stopped, and broken."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.daemons import Cluster, wait_for

# Each step waits until the test makes the file of its number.
STEPS = """
import asyncio
from pathlib import Path
from pydantic import BaseModel
from ampd.handlers import HandlerContext

class Steps(BaseModel):
    folder: Path
    count: int

async def steps(job: Steps, context: HandlerContext) -> dict[str, int]:
    came_from = context.load_checkpoint() or 0
    for step in range(came_from, job.count):
        while not (job.folder / str(step)).exists():
            await context.sleep(0.01)
        with (job.folder / "log").open("a") as log:
            log.write(f"{step} {context.attempt}\\n")
        await context.save_checkpoint(step + 1)
        await context.progress(done=step + 1)
    context.log.info("steps.done")
    return {"came_from": came_from, "attempt": context.attempt}
"""
PACKAGES = {
    "steps_pack": ("steps", STEPS, "steps"),
    "broken_pack": ("broken", "import a_module_that_nobody_has", "run"),
}
# Dead workers are found soon.
SETTINGS = "[worker]\nlease_secs = 1.5\nheartbeat_interval_secs = 0.3\n"


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of processes in which both packages are installed."""
    folder = tmp_path / "installed"
    for name, (kind, code, function) in PACKAGES.items():
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"{name}.py").write_text(code)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[ampd.handlers]\n{kind} = {name}:{function}\n")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, database_url, SETTINGS)
    try:
        yield cluster
    finally:
        cluster.end()


def test_a_job_outlives_its_killed_worker_and_goes_on_from_its_checkpoint(
    cluster: Cluster, installed: dict[str, str], tmp_path: Path
) -> None:
    controller = cluster.start_controller(environment=installed)
    plain = cluster.start_worker("plain")  # it has no such handler
    job_id = cluster.create("steps", {"folder": str(tmp_path), "count": 4})
    wait_for("the reason why it waits", lambda: cluster.job(job_id)["waiting_for"] == "handler")

    first = cluster.start_worker("first", environment=installed)
    for process in (controller, first):
        line = process.wait_for_text("handler.not_loaded")
        assert "ModuleNotFoundError: No module named 'a_module_that_nobody_has'" in line
        assert "broken_pack 1.0" in line
    for step in range(2):
        (tmp_path / str(step)).touch()
    wait_for("two steps", lambda: cluster.progress(job_id)["progress"] == {"done": 2})
    first.signal(signal.SIGKILL)
    first.wait()

    second = cluster.start_worker("second", environment=installed)
    for step in range(2, 4):
        (tmp_path / str(step)).touch()
    job = cluster.wait_for_status(job_id, "COMPLETED")
    assert job["result"] == {"came_from": 2, "attempt": 2}
    assert (tmp_path / "log").read_text().splitlines() == ["0 1", "1 1", "2 2", "3 2"]
    line = second.wait_for_text("steps.done")
    assert f'"job_id": {job_id}' in line
    assert '"attempt": 2' in line
    assert "steps" not in plain.text()

    kinds = httpx.get(f"{cluster.admin_url}/workers/second").json()["kinds"]
    assert "steps" in kinds
    assert "broken" not in kinds
    refused = httpx.post(f"{cluster.admin_url}/jobs", json={"kind": "broken"})
    assert refused.json()["error_code"] == "UNKNOWN_JOB_KIND"
    assert "steps" in refused.json()["error_message"]

    waits = cluster.create("steps", {"folder": str(tmp_path / "nowhere"), "count": 1})
    cluster.wait_for_status(waits, "RUNNING")
    assert httpx.post(f"{cluster.admin_url}/jobs/{waits}/stop").status_code == 200
    cluster.wait_for_status(waits, "STOPPED")
