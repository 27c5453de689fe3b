"""Nodes that do everything wrong that nodes do, while workers are killed, both as chance will have it: the lake ends as
the one of a run in which nothing happens.
"""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from ampd.client import Ampd
from ampd.replay_node import Fault, ReplayChain, ReplayNode, RpcCall, load_recorded_chain
from support.chain import FIRST_BLOCK, Lake, lake_of, register, repeated_blocks
from support.daemons import Cluster, Process, wait_for
from support.fault_plans import BATCH_FAULTS, TIMEOUT, Plan, batch_faults, lags, plans
from support.faulty import FaultPlan
from support.made_blocks import write_small_blocks
from support.memory import Peaks
from support.nodes import on_thread
from support.promises import launch_worker, start_workers

pytestmark = pytest.mark.chaos

LENGTH = 24
LAST_BLOCK = FIRST_BLOCK + LENGTH - 1
WORKERS = ("left", "right")
# Segments of a few blocks, so that there are many moments to die in; the dead are missed soon.
SETTINGS = """
poll_interval_secs = 0.1
[worker]
lease_secs = 1.5
heartbeat_interval_secs = 0.3
slots = 2
[writer]
max_range_blocks = 3
target_range_secs = 0.3
"""


@dataclass(frozen=True)
class Kill:
    """SIGKILL for the worker number ``victim``, when the nodes have had so many calls, or the lake so many files."""

    when: str
    many: int
    victim: int


@dataclass(frozen=True)
class Scenario:
    """What one node does wrong, what another one does (if there is one), and who dies."""

    plan: Plan
    other: Plan | None
    lag: tuple[int, list[bool]] | None
    batch_size: int
    batches: list[str]
    verify: str
    parallelism: int
    kills: list[Kill]


KILLS = st.builds(
    Kill,
    when=st.sampled_from(["calls", "files"]),
    many=st.integers(1, 50),
    victim=st.integers(0, len(WORKERS) - 1),
)
_PLANS = plans(FIRST_BLOCK, LAST_BLOCK, most=9, fewest=2)
SCENARIOS = st.builds(
    Scenario,
    plan=_PLANS,
    other=st.none() | _PLANS,
    lag=st.none() | lags(),
    batch_size=st.sampled_from([0, 0, 3, 8]),
    batches=st.lists(st.sampled_from(sorted(BATCH_FAULTS)), max_size=4),
    # Without verification the checks stand alone.
    verify=st.sampled_from(["off", "off", "sample", "full"]),
    parallelism=st.integers(1, 5),
    kills=st.lists(KILLS, min_size=1, max_size=3, unique_by=lambda kill: kill.many),
)


class Hunt:
    """Two workers of a cluster. Those that are killed have a successor of the same name."""

    def __init__(self, cluster: Cluster) -> None:
        self.peaks = Peaks()
        self.killed = 0
        self._cluster = cluster
        self._workers = list(start_workers(cluster, *WORKERS))
        self._kills: list[Kill] = []
        self._calls = 0
        self._lock = threading.Lock()

    def begin(self, kills: list[Kill]) -> None:
        """Kill as ``kills`` says from now on, one after the other."""
        with self._lock:
            self._kills, self._calls = sorted(kills, key=lambda kill: kill.many), 0

    def on_call(self) -> None:
        """Take note of a call of a node, on its thread."""
        with self._lock:
            self._calls += 1
            self._strike("calls", self._calls)

    def look(self, files: int) -> None:
        """Take note of how many files are in the lake, and put new workers into the places of dead ones."""
        with self._lock:
            self._strike("files", files)
        for at, worker in enumerate(self._workers):
            if worker.popen.poll() is not None:
                assert worker.popen.returncode == -signal.SIGKILL, worker.text()
                self._workers[at] = launch_worker(self._cluster, WORKERS[at])

    def workers(self) -> list[Process]:
        return self._workers

    def _strike(self, when: str, many: int) -> None:
        for kill in [each for each in self._kills if each.when == when and each.many <= many]:
            self._kills.remove(kill)
            victim = self._workers[kill.victim]
            if victim.popen.poll() is None:
                self.peaks.look(victim)
                victim.signal(signal.SIGKILL)
                self.killed += 1


@pytest.fixture(scope="module")
def hunt(cluster: Cluster) -> Hunt:
    return Hunt(cluster)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_blocks(tmp_path_factory.mktemp("blocks") / "small", FIRST_BLOCK)


@pytest.fixture(scope="module")
def calm(cluster: Cluster, module_database_url: str, hunt: Hunt, blocks: Path) -> dict[str, pa.Table]:
    """The lake of a run in which nothing happens, compared with the slow path over what the node states."""
    nothing = Scenario({}, None, None, 0, [], "full", 2, [])
    lake = _run(cluster, module_database_url, hunt, load_recorded_chain(blocks, length=LENGTH), nothing)
    lake.assert_equals_node(repeated_blocks(LENGTH, blocks))
    return lake.tables()


@asynccontextmanager
async def _node(chain: ReplayChain, plan: FaultPlan, batches: list[str], hunt: Hunt) -> Any:
    def choose(call: RpcCall) -> Fault | None:
        hunt.on_call()
        return plan(call)

    async with ReplayNode(chain, faults=choose, batch_faults=batch_faults(batches)) as node:
        yield node.url


_numbers = count()


def _run(cluster: Cluster, database_url: str, hunt: Hunt, chain: ReplayChain, scenario: Scenario) -> Lake:
    """Extract the chain into a dataset of its own, and return its lake when the job is complete."""
    name = f"run{next(_numbers)}"
    lake = lake_of(cluster, database_url, f"random/{name}")
    provider = {"timeout_secs": TIMEOUT, "rpc_batch_size": scenario.batch_size}
    with ExitStack() as stack, Ampd(cluster.admin_url) as client:
        urls = [
            stack.enter_context(on_thread(_node(chain, FaultPlan(chain, plan, lag=lag), scenario.batches, hunt)))
            for plan, lag in ((scenario.plan, scenario.lag), (scenario.other, None))
            if plan is not None
        ]
        hunt.begin(scenario.kills)
        reference = register(
            cluster.admin_url, urls[0], dataset=f"random/{name}", network=name, start_block=FIRST_BLOCK, **provider
        )
        for url in urls[1:]:
            client.providers.register(f"{name}_other", "evm-rpc", {"network": name, "url": url, **provider})
        job_id = client.datasets.deploy(
            reference, end_block=LAST_BLOCK, parallelism=scenario.parallelism, verify=scenario.verify
        )

        def is_complete() -> bool:
            hunt.look(sum(1 for _ in lake.data_dir.glob(f"random/{name}/**/*.parquet")))
            job = cluster.job(job_id)
            assert job["status"] in {"SCHEDULED", "RUNNING", "COMPLETED"}, job
            return bool(job["status"] == "COMPLETED")

        wait_for(f"the end of job {job_id}", is_complete, timeout=120)
        hunt.begin([])
    return lake


def _moderate(examples: int) -> settings:
    """Nothing is shrunk: each example takes seconds, and what failed is printed whole."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def _check(
    cluster: Cluster,
    database_url: str,
    hunt: Hunt,
    blocks: Path,
    calm: dict[str, pa.Table],
    scenario: Scenario,
) -> None:
    note(str(scenario))
    lake = _run(cluster, database_url, hunt, load_recorded_chain(blocks, length=LENGTH), scenario)
    # What somebody took to delete, and died, is left alone for a minute; then comes the next sweep, in half a minute.
    wait_for("the sweep of what the dead have left", lambda: not lake.orphans(), timeout=150)
    lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
    lake.assert_equals(calm)


def test_after_any_faults_and_kills_the_lake_is_that_of_a_calm_run(
    cluster: Cluster, module_database_url: str, hunt: Hunt, blocks: Path, calm: dict[str, pa.Table]
) -> None:
    @_moderate(4)
    @given(scenario=SCENARIOS)
    def some(scenario: Scenario) -> None:
        _check(cluster, module_database_url, hunt, blocks, calm, scenario)

    some()
    assert hunt.killed > 0


@pytest.mark.long
def test_after_very_many_faults_and_kills_the_lake_is_that_of_a_calm_run(
    cluster: Cluster, module_database_url: str, hunt: Hunt, blocks: Path, calm: dict[str, pa.Table]
) -> None:
    @_moderate(80)
    @given(scenario=SCENARIOS)
    def many(scenario: Scenario) -> None:
        _check(cluster, module_database_url, hunt, blocks, calm, scenario)

    killed = hunt.killed
    many()
    hunt.peaks.look(*hunt.workers())
    print(f"{hunt.killed - killed} kills; {hunt.peaks}")
    assert hunt.killed - killed >= 80
    hunt.peaks.assert_modest()
