"""ampctl as an operator uses it: against a served Admin API, in a process of its own where that matters."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from admin_api_cluster import Cluster

from ampd.datasets import generate_manifest
from ampd.errors import AmpError, ErrorCode
from support.ampctl import Ampctl, run

AMPCTL = [sys.executable, "-m", "ampd.cli.ampctl"]
Z = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def ampctl(capsys: pytest.CaptureFixture[str], admin_url: str, monkeypatch: pytest.MonkeyPatch) -> Ampctl:
    """Commands that find the served Admin API through the environment."""
    monkeypatch.setenv("AMP_ADMIN_URL", admin_url)
    monkeypatch.delenv("AMP_AUTH_TOKEN", raising=False)
    return Ampctl(capsys)


async def test_an_operator_goes_from_a_manifest_to_a_running_job_and_cleans_up(
    cluster: Cluster, ampctl: Ampctl, tmp_path: Path
) -> None:
    manifest, provider = tmp_path / "eth.json", tmp_path / "mainnet.toml"
    provider.write_text('kind = "evm-rpc"\nnetwork = "mainnet"\nurl = "http://user:hunter2@127.0.0.1:8545/key"\n')
    assert ampctl(f"manifest generate --kind evm-rpc --network mainnet -o {manifest}") == (
        f"✓ Manifest written to {manifest}\n"
    )
    manifest_hash = generate_manifest("evm-rpc", "mainnet", 0, False).hash()
    assert ampctl(f"manifest register {manifest}").splitlines() == [
        "✓ Manifest registered successfully",
        f"→ Hash: {manifest_hash}",
    ]
    assert ampctl(f"provider register main_rpc {provider}").startswith("✓ Provider registered successfully\n")
    assert ampctl("provider list") == "Providers:\n  main_rpc (evm-rpc)\n"
    assert "hunter2" not in ampctl("provider inspect main_rpc")
    assert ampctl(f"dataset register ethereum/mainnet {manifest} -t 1.0.0").splitlines()[:4] == [
        "✓ Dataset registered successfully",
        "→ Namespace: ethereum",
        "→ Name: mainnet",
        "→ Version: 1.0.0",
    ]
    assert ampctl("datasets ls") == "Datasets:\n  ethereum/mainnet - 1 version(s)\n"
    assert ampctl("manifests ls") == f"Manifests:\n  {manifest_hash} - 1 dataset\n"
    deployed = ampctl("dataset deploy ethereum/mainnet --end-block -100 --parallelism 2 --worker-id worker-*")
    job_id = int(re.fullmatch(r"✓ Dataset deployed successfully\n→ Job ID: (\d+)\n", deployed)[1])  # type: ignore[index]
    assert json.loads(
        ampctl("dataset deploy ethereum/mainnet@1.0.0 --end-block=-100 --parallelism 2 --worker-id worker-* --json")
    ) == {"job_id": job_id}
    lease = await cluster.start(job_id)
    assert ampctl("job list") == (
        f"Jobs:\n  {job_id} - RUNNING (worker-01)\n    Dataset: ethereum/mainnet@1.0.0 ({manifest_hash[:7]})\n"
    )
    assert ampctl(f"job stop {job_id}") == f"✓ Job {job_id} stop requested\n"
    assert "stop it first" in ampctl(f"job rm {job_id}", code=1)
    assert await cluster.leased.stop(lease)
    assert ampctl("job list") == "No jobs found\n"
    assert ampctl("job prune") == "✓ Terminal jobs pruned\n→ Removed: 1\n"
    assert ampctl(f"job rm {job_id}") == f"✓ Job {job_id} removed\n"
    assert ampctl("provider rm main_rpc") == "✓ Provider main_rpc removed\n"
    assert ampctl("provider list") == "No providers found\n"


async def test_the_pages_of_the_job_list_go_on_from_the_shown_cursor(cluster: Cluster, ampctl: Ampctl) -> None:
    first = await cluster.job_in_state("SCHEDULED", "a/x")
    second = await cluster.job_in_state("SCHEDULED", "a/y")
    page = ampctl("job ls -l 1")
    assert f"  {second} - SCHEDULED (no worker)\n" in page
    assert "    Waiting for: a free slot on a worker\n" in page
    assert page.endswith(f"\n\nNext cursor: {second}\n")
    rest = ampctl(f"jobs list --limit 1 -a {second} -s scheduled,running")
    assert f"  {first} - SCHEDULED" in rest
    assert "Next cursor" not in rest


async def test_inspect_and_get_print_one_line_of_json_when_a_program_reads(cluster: Cluster, ampctl: Ampctl) -> None:
    job_id = await cluster.job_in_state("RUNNING", "a/x")
    for command in (f"job inspect {job_id}", f"job get {job_id}", "worker get worker-01", "dataset get a/x"):
        text = ampctl(command)
        assert text.count("\n") == 1
        assert json.loads(text)
    assert json.loads(ampctl(f"job get {job_id} --json")) == (await cluster.api.get(f"/jobs/{job_id}")).json()


async def test_lists_progress_and_events_stay_readable_in_a_pipe_and_json_is_asked_for(
    cluster: Cluster, ampctl: Ampctl
) -> None:
    manifest_hash = await cluster.register()
    job_id = await cluster.deploy(end_block=99)
    lease = await cluster.start(job_id)
    await cluster.write(lease, manifest_hash, {"blocks": [(0, 9), (20, 29)]})
    text = ampctl(f"job progress {job_id}")
    assert text.startswith(f"Job ID: {job_id}\nStatus: RUNNING\n")
    assert (
        "\nTables:\n  blocks:\n    Block range: 0 - 9\n    Files: 1\n    Size: 2.0 KB\n    Rows: 10\n    Gaps: 10-19\n"
    ) in text
    assert json.loads(ampctl(f"job progress {job_id} --json"))["tables"]["blocks"]["current_block"] == 9
    events = ampctl(f"job events {job_id}")
    assert re.fullmatch(
        rf"Job ID: {job_id}\n\nEvents:\n  \[\d+\] {Z} - SCHEDULED \(by: admin-api\)\n"
        rf"  \[\d+\] {Z} - RUNNING \(node: worker-01\)\n",
        events,
    )
    event_id = re.findall(r"\[(\d+)\]", events)[1]
    assert "Event Type: RUNNING\n" in ampctl(f"job events {job_id} --event-id {event_id}")
    table = ampctl("dataset jobs ethereum/mainnet@1.0.0").splitlines()
    assert re.fullmatch(r"ID +Status +Created +Tables", table[0])
    assert re.fullmatch(
        rf"{job_id} +RUNNING +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d +blocks, logs, transactions, withdrawals", table[1]
    )


async def test_worker_list_is_the_seeds_plain_lines(cluster: Cluster, ampctl: Ampctl) -> None:
    assert re.fullmatch(rf"worker-01 \(last heartbeat: {Z}\)\n", ampctl("worker list"))
    assert ampctl("workers ls --json").count("\n") == 1


async def test_errors_go_to_stderr_with_their_cause_and_exit_code_1(cluster: Cluster, ampctl: Ampctl) -> None:
    assert ampctl("job stop 99", code=1) == (
        "✗ failed to stop job 99\n  → job '99' not found\n"
        "    → ampctl job list --status all shows the jobs that there are\n"
    )
    assert ampctl("job list -s sleeping", code=1).startswith("✗ failed to list jobs\n  → unknown status 'sleeping'")
    assert "register it" in ampctl("dataset deploy a/x", code=1) or "registers it" in ampctl(
        "dataset deploy a/x", code=1
    )
    await cluster.register(version=None)
    assert "dev" in ampctl("dataset deploy ethereum/mainnet", code=1)
    assert "want namespace/name" in ampctl("dataset deploy ethereum", code=1)


# Watching


async def _ampctl(admin_url: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *AMPCTL,
        *arguments,
        "--admin-url",
        admin_url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_piped_watch_writes_a_line_per_change_and_ends_with_the_job(cluster: Cluster, admin_url: str) -> None:
    manifest_hash = await cluster.register()
    job_id = await cluster.deploy()
    lease = await cluster.start(job_id)
    watch = await _ampctl(admin_url, "job", "progress", str(job_id), "--watch", "--interval", "0.05")
    assert watch.stdout is not None

    async def line() -> str:
        assert watch.stdout is not None
        return (await asyncio.wait_for(watch.stdout.readline(), 30)).decode().rstrip()

    assert (await line()) == f"{job_id} RUNNING"
    await cluster.write(lease, manifest_hash, {"blocks": [(0, 9)]})
    # The table is there before its first file: the watch may have seen it in between.
    while (seen := await line()).startswith(f"{job_id} RUNNING  blocks - (0 files)"):
        pass
    assert seen.startswith(f"{job_id} RUNNING  blocks 0-9 (1 files)")
    assert await cluster.leased.complete(lease)
    assert (await line()).startswith(f"{job_id} COMPLETED  blocks 0-9 (1 files)")
    assert await asyncio.wait_for(watch.wait(), 30) == 0


async def test_a_watch_of_a_job_that_fails_exits_with_1(cluster: Cluster, ampctl: Ampctl) -> None:
    await cluster.register()
    job_id = await cluster.deploy()
    lease = await cluster.start(job_id)
    await cluster.leased.fail(lease, AmpError(ErrorCode.NETWORK_MISMATCH, "another chain"))
    assert run(["job", "progress", str(job_id), "--watch"]) == 1
    assert "✖ another chain\n\n  Error Code : NETWORK_MISMATCH\n" in ampctl(f"job progress {job_id}")


async def test_ctrl_c_ends_a_watch_quietly_with_130(cluster: Cluster, admin_url: str) -> None:
    job_id = await cluster.job_in_state("RUNNING", "a/x")
    watch = await _ampctl(admin_url, "job", "progress", str(job_id), "--watch")
    assert watch.stdout is not None
    await asyncio.wait_for(watch.stdout.readline(), 30)
    watch.send_signal(signal.SIGINT)
    _, complaints = await asyncio.wait_for(watch.communicate(), 30)
    assert (watch.returncode, complaints) == (130, b"")


async def test_on_a_terminal_inspect_is_for_people_and_a_watch_draws_until_the_end(
    cluster: Cluster, admin_url: str
) -> None:
    job_id = await cluster.job_in_state("COMPLETED", "a/x")
    text = await asyncio.to_thread(_on_a_terminal, admin_url, "job", "inspect", str(job_id))
    assert f"Job ID: {job_id}" in text
    assert "Dataset: a/x@1.0.0" in text
    assert '"materialize-raw"' in text
    text = await asyncio.to_thread(_on_a_terminal, admin_url, "job", "progress", str(job_id), "--watch")
    assert "Status: COMPLETED" in text
    text = await asyncio.to_thread(_on_a_terminal, admin_url, "worker", "inspect", "worker-01")
    assert "Node ID: worker-01" in text
    assert "Worker Info:\r\n  Version: 0.1.0\r\n  Commit: 8b065bde\r\n  Commit Timestamp: unknown" in text


def _on_a_terminal(admin_url: str, *arguments: str) -> str:
    master, slave = pty.openpty()
    with subprocess.Popen([*AMPCTL, *arguments, "--admin-url", admin_url], stdout=slave, stderr=slave) as process:
        os.close(slave)
        written = b""
        try:
            while chunk := os.read(master, 65536):
                written += chunk
        except OSError:  # the other end is closed: that is how Linux tells the end
            pass
        finally:
            os.close(master)
    assert process.returncode == 0, written
    return written.decode()
