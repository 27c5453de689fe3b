"""What a browser waits for, loads and keeps of the dashboard, on a cluster of 10,000 jobs and 200 workers.

    make bench-dashboard-browser [BENCH_ARGS="--minutes 1"]

The cluster is that of ``dashboard_scene.py``. First load: a browser without a cache opens the overview, signed in;
``first_load_kb`` is what comes over the wire, ``first_load_ms`` the time until the figures stand there. ``page_ms`` is
the median from the click on a link until the page shows its data. Then three pages stay open for ``--minutes`` while
an extraction goes on and jobs come and go each second; the memory of each is read after a garbage collection, every
``minutes / 10``. ``memory`` has the JavaScript heap (MB) and the nodes of the document at the first reading and at the
last, and the growth of the heap from the mean of readings 2 to 4 to that of the last three: below a tenth it counts as
flat. The last line of the output is one JSON object; all else goes to stderr."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, CDPSession, Page, async_playwright, expect

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from admin_api_scene import going_on, say  # noqa: E402
from dashboard_scene import SIZE, WATCHED, WORKERS, DashboardScene, dashboard_scene  # noqa: E402
from support.browser import OPTIONS  # noqa: E402

READINGS = 10
ROUNDS = 5
FIRST_LOAD_KB, FIRST_LOAD_MS, FLAT = 300, 1000, 0.1
MEGABYTE = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="What a browser waits for, loads and keeps of the dashboard.")
    parser.add_argument("--minutes", type=float, default=10, help="how long the pages stay open (default 10)")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="ampd-bench-") as directory:
        result = asyncio.run(measure(Path(directory), minutes))
    print(json.dumps(result, separators=(",", ":")))


async def measure(directory: Path, minutes: float) -> dict[str, Any]:
    async with dashboard_scene(directory) as there, chromium() as browser:
        loads = [await first_load(browser, there) for _ in range(ROUNDS)]
        page_ms = await page_times(browser, there)
        async with going_on(churn(there)):
            memory = await memory_of_pages(browser, there, minutes)
    first_ms, first_kb = (round(statistics.median(column), 1) for column in zip(*loads, strict=True))
    return {
        "jobs": SIZE.jobs,
        "workers": WORKERS,
        "first_load_ms": first_ms,
        "first_load_kb": first_kb,
        "page_ms": page_ms,
        "minutes": minutes,
        "memory": memory,
        "kept": {
            "first_load": first_kb < FIRST_LOAD_KB and first_ms < FIRST_LOAD_MS,
            "flat": all(each["growth"] < FLAT for each in memory.values()),
        },
        "load_average": round(os.getloadavg()[0], 1),
    }


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(OPTIONS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def signed_in(browser: Browser, there: DashboardScene) -> AsyncIterator[Page]:
    """Give a page without a cache whose cookie opens everything."""
    context = await browser.new_context(base_url=there.url)
    try:
        await context.request.post("/session", data={"token": there.token})
        yield await context.new_page()
    finally:
        await context.close()


async def first_load(browser: Browser, there: DashboardScene) -> tuple[float, float]:
    """Return how long the overview takes (ms), and what comes over the wire for it (KB)."""
    async with signed_in(browser, there) as page:
        loaded = 0.0

        def count(event: dict[str, Any]) -> None:
            nonlocal loaded
            loaded += event["encodedDataLength"]

        session = await page.context.new_cdp_session(page)
        await session.send("Network.enable")
        session.on("Network.loadingFinished", count)
        started = time.perf_counter()
        await page.goto("/")
        await expect(page.get_by_role("table").first).to_be_visible(timeout=30_000)
        return (time.perf_counter() - started) * 1000, loaded / 1024


async def page_times(browser: Browser, there: DashboardScene) -> dict[str, float]:
    """Return the medians (ms) from a click until a page shows its data."""
    places = {
        "jobs": "#/jobs",
        "workers": "#/workers",
        "datasets": "#/datasets",
        "webhooks": "#/webhooks",
        "job": f"#/jobs/{there.scene.job_id}",
        "dataset": f"#/datasets/{WATCHED}",
        "overview": "#/",
    }
    found: dict[str, list[float]] = {name: [] for name in places}
    async with signed_in(browser, there) as page:
        await page.goto("/")
        for number in range(ROUNDS + 1):
            for name, place in places.items():
                started = time.perf_counter()
                await page.evaluate("(place) => { location.hash = place; }", place)
                await page.wait_for_function(SHOWS_DATA, arg=place, polling="raf")
                if number > 0:  # the first time its files are loaded as well
                    found[name].append((time.perf_counter() - started) * 1000)
    return {name: round(statistics.median(times), 1) for name, times in found.items()}


# Nothing says that it is loading, and there is a table: each page has one.
SHOWS_DATA = """(place) => location.hash === place && document.querySelector('main .loading') === null
    && document.querySelector('main table') !== null"""


async def churn(there: DashboardScene) -> None:
    """Let jobs come and go, for ever."""
    headers = {"Authorization": f"Bearer {there.token}"}
    body = {"kind": "http", "input": {"url": "https://example.com/"}, "start_at": "2100-01-01T00:00:00Z"}
    async with httpx.AsyncClient(base_url=there.url, headers=headers, timeout=30) as client:
        while True:
            made = (await client.post("/jobs", json=body)).raise_for_status().json()
            (await client.post(f"/jobs/{made['id']}/cancel", json={})).raise_for_status()
            await asyncio.sleep(0.5)


async def memory_of_pages(browser: Browser, there: DashboardScene, minutes: float) -> dict[str, Any]:
    places = {"overview": "/#/", "jobs": "/#/jobs", "job": f"/#/jobs/{there.scene.job_id}"}
    context = await browser.new_context(base_url=there.url)
    await context.request.post("/session", data={"token": there.token})
    sessions = {}
    for name, place in places.items():
        page = await context.new_page()
        await page.goto(place)
        sessions[name] = await context.new_cdp_session(page)
    readings: dict[str, list[tuple[float, int]]] = {name: [] for name in places}
    for number in range(READINGS):
        await asyncio.sleep(minutes * 60 / READINGS)
        for name, session in sessions.items():
            readings[name].append(await _memory(session))
        say(f"{(number + 1) / READINGS:.0%}: " + ", ".join(f"{name} {each[-1]}" for name, each in readings.items()))
    await context.close()
    return {name: _told(each) for name, each in readings.items()}


async def _memory(session: CDPSession) -> tuple[float, int]:
    """Return the heap in use (MB) and the nodes of the document, without garbage."""
    await session.send("HeapProfiler.collectGarbage")
    used = (await session.send("Runtime.getHeapUsage"))["usedSize"]
    return round(used / MEGABYTE, 2), (await session.send("Memory.getDOMCounters"))["nodes"]


def _told(readings: list[tuple[float, int]]) -> dict[str, Any]:
    heap = [each for each, _ in readings]
    early, late = statistics.mean(heap[1:4]), statistics.mean(heap[-3:])
    return {
        "heap_mb": [heap[0], heap[-1]],
        "nodes": [readings[0][1], readings[-1][1]],
        "growth": round(late / early - 1, 3),
    }


if __name__ == "__main__":
    main()
