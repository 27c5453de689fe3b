"""100 clients that watch a large cluster through the Admin API: how long they wait for an answer, and what that costs.

    make bench-api [BENCH_ARGS="--seconds 60"]

One embedded PostgreSQL with its default, durable settings, one controller as a process, 100,000 jobs in all states and
a dataset whose tables have 100,000 files each, to which an extraction adds (``admin_api_scene.py``). Tokens are in
force: each client has one of its own, every fourth of them limited to two namespaces. The clients are one other process
with a keep-alive connection each (``admin_api_client.py``) and do what those do who watch: pages of jobs with and
without filters, a job, its progress and history, statistics, datasets, workers, revisions and files.

Two figures, which must not be taken for each other. ``watching``: each client sends **one request a second** (as a
person or ``ampctl job progress N --watch`` does), so 100 requests a second altogether, at moments that chance
chooses; the latency counts from that moment, whether the connection was free then or not. ``saturated``: no client
ever pauses, so that the latency says little but how many answers a second there are. The last line of the output is
one JSON object; all else goes to stderr."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from admin_api_scene import ENDED, HELD, JOBS, LIMITED, SEGMENTS, WATCHED, Scene, say, scene  # noqa: E402
from ampd.metadata_db import EmbeddedPostgres  # noqa: E402
from support.memory import MEGABYTE, peak_bytes  # noqa: E402 - the harness of the tests

CLIENT = Path(__file__).parent / "admin_api_client.py"
CLIENTS = 100
WARM_UP_SECONDS = 5
MILLI = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="What 100 clients of the Admin API wait for their answers.")
    parser.add_argument("--seconds", type=int, default=60, help="how long the clients watch (default 60)")
    parser.add_argument(
        "--saturated-seconds", type=int, default=20, help="how long they ask without pauses (default 20)"
    )
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ampd-bench-") as text,
        EmbeddedPostgres(Path(text) / "metadb") as server,
    ):
        result = asyncio.run(measure(server, Path(text), arguments.seconds, arguments.saturated_seconds))
    print(json.dumps(result, separators=(",", ":")))


async def measure(server: EmbeddedPostgres, directory: Path, seconds: int, saturated_seconds: int) -> dict[str, Any]:
    async with scene(server, directory, clients=CLIENTS) as there:
        check_answers(there)
        plan = plan_of(there)
        await load(plan, "paced", WARM_UP_SECONDS)
        watching = await measured(there, server, plan, "paced", seconds)
        say(f"watching: {watching}")
        saturated = await measured(there, server, plan, "closed", saturated_seconds)
        say(f"saturated: {saturated}")
        return {
            "clients": CLIENTS,
            "jobs": JOBS,
            "files_per_table": SEGMENTS,
            "tables": len(there.revisions),
            "watching": {"requests_per_client_per_s": 1, **watching},
            "saturated": {"pauses": "none", **saturated},
            "controller_peak_mb": peak_bytes(there.controller_pid) // MEGABYTE,
        }


def check_answers(there: Scene) -> None:
    """Make sure that what is measured are the right answers."""
    with httpx.Client(base_url=there.cluster.admin_url) as client:
        if client.get("/jobs").status_code != 401:
            raise RuntimeError("tokens are not in force")
        client.headers["Authorization"] = f"Bearer {there.tokens['operator'][0]}"
        found = {
            "jobs": client.get("/jobs/stats").json()["total"] - 1,
            "files": {
                min(SEGMENTS, table["files_count"])
                for table in client.get(f"/jobs/{there.job_id}/progress").json()["tables"].values()
            },
            "status": client.get(f"/jobs/{there.job_id}").json()["status"],
            "page": len(client.get("/jobs?status=all&limit=1000").json()["jobs"]),
        }
    if found != {"jobs": JOBS, "files": {SEGMENTS}, "status": "RUNNING", "page": 1000}:
        raise RuntimeError(f"the scene is not what it should be: {found}")


def plan_of(there: Scene) -> dict[str, Any]:
    """Return what the clients do. Weights are parts of a hundred."""
    return {
        "host": "127.0.0.1",
        "port": there.cluster.port,
        "clients": [{"token": token, "sees": sees} for sees in ("everything", "some") for token in there.tokens[sees]],
        "operations": {sees: operations(there, sees) for sees in ("everything", "some")},
    }


def operations(there: Scene, sees: str) -> dict[str, dict[str, Any]]:
    """Return what clients ask who see ``everything`` or ``some``: how often, where, and how an answer begins."""
    chance = random.Random(sees)
    # Jobs of what a limited token sees: see the scene, where they are made.
    step, first = (20, 7) if sees == "some" else (1, 2)
    ended = [first + step * chance.randrange(ENDED // step - 1) for _ in range(500)]
    held = [number for number in range(ENDED + 2, ENDED + HELD + 2) if (number - first) % step == 0]
    pages = [JOBS // 20 * number for number in range(1, 20)]
    of_the_watched = f"/jobs/{there.job_id}"
    files = [f"/revisions/{each}/files" for each in there.revisions.values()]
    namespaces = LIMITED if sees == "some" else ("ethereum", "team_1", "team_3", "team_8")
    lists = '{"jobs":['
    return {
        "list_jobs": _operation(14, lists, "/jobs", "/jobs?status=all", "/jobs?status=all&limit=20"),
        "list_jobs_deep": _operation(6, lists, *(f"/jobs?status=all&last_job_id={each}" for each in pages)),
        "list_jobs_by_status": _operation(
            8,
            lists,
            *(f"/jobs?status={each}" for each in ("failed", "running", "completed,stopped", "paused", "queued")),
        ),
        "list_jobs_by_namespace": _operation(
            5, lists, *(f"/jobs?status=all&dataset_namespace={each}" for each in namespaces)
        ),
        "list_jobs_by_label": _operation(
            5,
            lists,
            *(f"/jobs?status=all&label=team=t{chance.randrange(40)}" for _ in range(10)),
            *(f"/jobs?status=all&label=ticket=T-{chance.randrange(5000)}" for _ in range(10)),
            *(f"/jobs?status=failed&product=p{number}" for number in range(7)),
        ),
        "get_job": _operation(15, '{"id":', *(f"/jobs/{each}" for each in (*ended, *held))),
        "get_progress": _operation(18, '{"job_id":', f"{of_the_watched}/progress"),
        "list_events": _operation(
            6,
            '{"job_id":',
            *(f"/jobs/{each}/events" for each in (*ended[:50], *held[:5])),
            f"{of_the_watched}/events",
        ),
        "get_stats": _operation(4, '{"total":', "/jobs/stats"),
        "list_datasets": _operation(3, '{"datasets":[', "/datasets"),
        "list_versions": _operation(3, "{", f"/datasets/{WATCHED}/versions"),
        "list_workers": _operation(5, '{"workers":[', "/workers"),
        "list_revisions": _operation(4, "[{", "/revisions", f"/revisions?dataset={WATCHED}", "/revisions?active=true"),
        "list_files": _operation(4, '{"files":[', *files, *(f"{each}?after=500000" for each in files)),
    }


def _operation(weight: int, begins: str, *paths: str) -> dict[str, Any]:
    return {"weight": weight, "begins": begins, "paths": paths}


async def measured(
    there: Scene, server: EmbeddedPostgres, plan: dict[str, Any], way: str, seconds: int
) -> dict[str, Any]:
    """Let the clients ask, and return what they and the processes tell."""
    controller = psutil.Process(there.controller_pid)
    before = _cpu([controller]), _cpu(_postgres(server))
    seen = await load(plan, way, seconds)
    after = _cpu([controller]), _cpu(_postgres(server))
    latencies = sorted(latency for of_one in seen["latencies"].values() for latency in of_one)
    requests = seen["requests"]
    for failure in seen["first_failures"]:
        say(f"failed: {failure}")
    return {
        "requests": requests,
        "failed": seen["failed"],
        "requests_per_s": round(len(latencies) / seen["seconds"], 1),
        **{f"p{rank}_ms": percentile(latencies, rank) for rank in (50, 95, 99)},
        "max_ms": percentile(latencies, 100),
        "p99_ms_of": {name: percentile(sorted(of_one), 99) for name, of_one in sorted(seen["latencies"].items())},
        "controller_cpu_s": round(after[0] - before[0], 2),
        "controller_cpu_ms_per_request": round(MILLI * (after[0] - before[0]) / requests, 2),
        "postgres_cpu_s": round(after[1] - before[1], 2),
        "clients_cpu_s": round(seen["cpu_s"], 2),
        # What the clients' own process adds: how late it sends although it could. Nothing of it is taken off above.
        "clients_late_p99_ms": percentile(sorted(seen["late"]), 99) if seen["late"] else None,
        "answers_mb": round(seen["bytes"] / MEGABYTE, 1),
        "load_average": round(os.getloadavg()[0], 1),
    }


async def load(plan: dict[str, Any], way: str, seconds: int) -> dict[str, Any]:
    """Run the clients as a process of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CLIENT), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(json.dumps({**plan, "way": way, "seconds": seconds}).encode())
    if process.returncode:
        raise RuntimeError(f"the clients ended with {process.returncode}")
    seen: dict[str, Any] = json.loads(output)
    return seen


def _postgres(server: EmbeddedPostgres) -> list[psutil.Process]:
    pid = int((server.data_dir / "postmaster.pid").read_text().splitlines()[0])
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def _cpu(processes: Sequence[psutil.Process]) -> float:
    """Return the CPU seconds of processes, and of those of their children that have ended."""
    return math.fsum(sum(process.cpu_times()[:4]) for process in processes)


def percentile(values: Sequence[float], rank: int) -> float:
    """Return the smallest of sorted ``values`` that is not below ``rank`` percent of them, from seconds to ms."""
    return round(MILLI * values[max(0, math.ceil(len(values) * rank / 100) - 1)], 1)


if __name__ == "__main__":
    main()
