"""How long the pages of the dashboard wait for what they ask, one request after the other.

    make bench-dashboard [BENCH_ARGS="--rounds 100"]

The cluster is that of ``dashboard_scene.py``: 10,000 jobs, 200 workers, tables with 100,000 files each to which an
extraction adds. A page's figure is the sum of its requests, over one keep-alive connection, with tokens in force and
one viewer of ``/live`` beside it. ``p50_ms`` and ``p99_ms`` are over the rounds; 200 ms are to be kept. ``--serve``
measures nothing: it tells address and token, and keeps the cluster alive until Ctrl+C, to look at it with a browser.
The last line of the output is one JSON object; all else goes to stderr."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from admin_api_load import percentile  # noqa: E402
from admin_api_scene import say  # noqa: E402
from dashboard_scene import SEGMENTS, SIZE, WATCHED, WORKERS, DashboardScene, dashboard_scene  # noqa: E402

TO_KEEP_MS = 200.0
WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(description="What the pages of the dashboard wait for their data.")
    parser.add_argument("--rounds", type=int, default=100, help="how often each page is asked for (default 100)")
    parser.add_argument("--serve", action="store_true", help="only keep the cluster alive, until Ctrl+C")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ampd-bench-") as directory:
        work = serve(Path(directory)) if arguments.serve else measure(Path(directory), arguments.rounds)
        try:
            result = asyncio.run(work)
        except KeyboardInterrupt:
            return
    print(json.dumps(result, separators=(",", ":")))


async def serve(directory: Path) -> dict[str, Any]:
    async with dashboard_scene(directory) as there:
        say(f"{there.url} with the token {there.token}; Ctrl+C ends it")
        await asyncio.Event().wait()
    return {}


async def measure(directory: Path, rounds: int) -> dict[str, Any]:
    async with dashboard_scene(directory) as there:
        headers = {"Authorization": f"Bearer {there.token}"}
        async with httpx.AsyncClient(base_url=there.url, headers=headers, timeout=30) as client:
            await check_answers(client, there)
            async with client.stream("GET", "/live") as live:
                lines = asyncio.create_task(_count(live))
                found = {name: await _measured(client, paths, rounds) for name, paths in pages(there).items()}
                lines.cancel()
    slowest = max(found.values(), key=lambda each: each["p99_ms"])["p99_ms"]
    return {
        "jobs": SIZE.jobs,
        "workers": WORKERS,
        "files_per_table": SEGMENTS,
        "rounds": rounds,
        "pages": found,
        "slowest_p99_ms": slowest,
        "to_keep_ms": TO_KEEP_MS,
        "kept": slowest < TO_KEEP_MS,
        "load_average": round(os.getloadavg()[0], 1),
    }


async def check_answers(client: httpx.AsyncClient, there: DashboardScene) -> None:
    """Make sure that what is measured are the right answers."""
    overview = (await client.get("/overview")).json()
    ranges = (await client.get(f"/jobs/{there.scene.job_id}/ranges")).json()
    found = {
        "workers": overview["worker_count"],
        "failures": len(overview["failures"]),
        "jobs": sum(overview["jobs"]["by_state"].values()) - 1,
        "watched": overview["datasets"][0]["dataset"],
        "done": {table["ranges"][0]["state"] for table in ranges["tables"]},
    }
    wanted = {"workers": WORKERS, "failures": 20, "jobs": SIZE.jobs, "watched": WATCHED, "done": {"done"}}
    if found != wanted:
        raise RuntimeError(f"the scene is not what it should be: {found}")


def pages(there: DashboardScene) -> dict[str, Sequence[str]]:
    """Return what each page asks."""
    job = f"/jobs/{there.scene.job_id}"
    dataset = f"/datasets/{WATCHED}"
    return {
        "overview": ("/overview", "/overview/history?minutes=60"),
        "overview_week": ("/overview", "/overview/history?minutes=10080"),
        "jobs": ("/jobs/stats", "/jobs?status=all&limit=50"),
        "jobs_by_state": ("/jobs/stats", "/jobs?status=failed&limit=50"),
        "jobs_by_namespace": ("/jobs/stats", "/jobs?status=all&dataset_namespace=team_3&limit=50"),
        "jobs_by_label": ("/jobs/stats", "/jobs?status=all&label=team=t7&limit=50"),
        "job": (job, f"{job}/progress", f"{job}/ranges", f"{job}/history?limit=20", f"{job}/events?limit=50"),
        "workers": ("/workers",),
        "worker": ("/workers/worker-1", "/jobs?status=active&worker_id=worker-1&limit=50"),
        "datasets": ("/datasets",),
        "dataset": (
            f"{dataset}/versions",
            f"{dataset}/versions/dev",
            f"{dataset}/versions/dev/jobs",
            f"/revisions?dataset={WATCHED}",
        ),
        "webhooks": ("/webhooks",),
        "webhook": (f"/webhooks/{there.webhook_id}", f"/webhooks/{there.webhook_id}/deliveries?limit=50"),
    }


async def _measured(client: httpx.AsyncClient, paths: Sequence[str], rounds: int) -> dict[str, Any]:
    sums: list[float] = []
    by_path: dict[str, list[float]] = {path: [] for path in paths}
    for number in range(WARM_UP + rounds):
        seconds = {path: await _ask(client, path) for path in paths}
        if number >= WARM_UP:
            sums.append(sum(seconds.values()))
            for path, took in seconds.items():
                by_path[path].append(took)
    sums.sort()
    return {
        "requests": len(paths),
        "p50_ms": percentile(sums, 50),
        "p99_ms": percentile(sums, 99),
        "p50_ms_of": {path.partition("?")[0]: percentile(sorted(took), 50) for path, took in by_path.items()},
    }


async def _ask(client: httpx.AsyncClient, path: str) -> float:
    started = time.perf_counter()
    answer = await client.get(path)
    took = time.perf_counter() - started
    if answer.status_code != 200:
        raise RuntimeError(f"GET {path} answered {answer.status_code}: {answer.text[:500]}")
    return took


async def _count(live: httpx.Response) -> None:
    async for _ in live.aiter_lines():
        pass


if __name__ == "__main__":
    main()
