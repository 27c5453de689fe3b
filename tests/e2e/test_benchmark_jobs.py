"""The benchmark of the job engine runs, and checks what it counts. Its figures are not judged here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "jobs.py"
JOBS = 1000


def test_the_quick_benchmark_counts_every_job_and_prints_its_figures_as_json() -> None:
    command = [sys.executable, str(BENCHMARK), "--quick", "--jobs", str(JOBS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr

    figures = json.loads(done.stdout.splitlines()[-1])
    assert {name: sorted(value) if isinstance(value, dict) else type(value) for name, value in figures.items()} == {
        "ours_jobs_per_s": float,
        "procrastinate_jobs_per_s": float,
        "ratio": float,
        "start_latency_ms": ["p50", "p99"],
        "stop_notice_ms": ["p50", "p99"],
        "stop_notice_without_notify_ms": ["p50", "p99"],
        "failover_s": ["max", "p50"],
    }
    assert all(value > 0 for figure in figures.values() for value in _numbers(figure))

    checked = dict(re.findall(r"^(\w+): checked (.*)$", done.stderr, re.MULTILINE))
    assert checked == {
        "ours": f"{JOBS} jobs COMPLETED, histories SCHEDULED, RUNNING, COMPLETED, events by three, "
        "attempts closed, executions closed",
        "procrastinate": f"{JOBS} jobs succeeded, histories deferred, started, succeeded",
    }


def _numbers(figure: float | dict[str, float]) -> list[float]:
    return list(figure.values()) if isinstance(figure, dict) else [figure]
