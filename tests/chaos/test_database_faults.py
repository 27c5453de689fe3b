"""The database restarts, goes away, loses sessions and hints, or is cut off: jobs end as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from ampd.metadata_db import migrate
from support.chain import FIRST_BLOCK
from support.daemons import Cluster, Process, wait_for
from support.databases import fresh_database
from support.faults import (
    Proxy,
    Server,
    SessionKiller,
    assert_alive,
    slow_job,
    stays,
    through,
)

pytestmark = pytest.mark.chaos

LEASE_SECONDS = 2.0
TAKEOVER_SECONDS = 12.0
# Small segments: many commits. The last net is out of reach, so that nothing hangs in it.
SMALL_SEGMENTS = "[writer]\nmax_range_blocks = 4\n"
SETTINGS = (
    SMALL_SEGMENTS
    + f"[worker]\nlease_secs = {LEASE_SECONDS}\nheartbeat_interval_secs = 0.5\nreconcile_interval_secs = 600\n"
)
# The settings that people have: a beat each second, five to live.
USUAL_SETTINGS = SMALL_SEGMENTS + "[worker]\nreconcile_interval_secs = 600\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """A fresh, migrated database of the server that may be stopped."""
    with fresh_database(server.postgres, "template0") as url:
        migrate(url)
        yield url


@pytest.fixture
def make_cluster(tmp_path: Path, url: str) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def make(settings: str = SETTINGS, database_url: str = url) -> Cluster:
        made.append(Cluster(tmp_path, database_url, settings))
        return made[-1]

    yield make
    for cluster in made:
        cluster.end()


def none_has_ended(daemons: list[Process]) -> bool:
    return all(daemon.popen.poll() is None for daemon in daemons)


@pytest.mark.parametrize(
    "stop", [pytest.param(Server.stop, marks=pytest.mark.long), Server.crash], ids=["fast", "immediate"]
)
def test_a_restart_of_the_database_ends_no_daemon_and_changes_no_row(
    stop: Callable[[Server], None], server: Server, url: str, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster()
    daemons = [cluster.start_controller(), cluster.start_worker("steady")]
    with slow_job(cluster, url, "restarted", latency=0.15) as job:
        job.wait_for_commits()
        stop(server)  # wherever it is
        server.start()
        job.wait_for_commits()
        with job.commit_held_up():
            before = job.lake.segments("blocks")
            stop(server)  # in the middle of a commit
        server.start()
        job.assert_exact()
        assert set(before) <= set(job.lake.segments("blocks")), "what was committed counts no more"
    wait_for("the Admin API", lambda: cluster.job(job.id).get("status") == "COMPLETED")
    assert_alive(*daemons)
    assert [daemon.end() for daemon in daemons] == [0, 0]


def test_sessions_that_are_ended_again_and_again_hold_nothing_up(
    url: str, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(USUAL_SETTINGS)
    daemons = [cluster.start_controller(), cluster.start_worker("steady")]
    with (
        slow_job(cluster, url, "whole") as job,
        slow_job(cluster, url, "endless", end_block=None, length=4000) as endless,
    ):
        job.wait_for_commits(1)
        with (
            SessionKiller(url, "ampd listen", every_seconds=0.3) as listening,
            SessionKiller(url, "ampd heartbeat %", every_seconds=1.5) as beating,
        ):
            job.assert_exact()
            endless.wait_for_commits(1)
            assert cluster.ampctl("job", "stop", str(endless.id)).returncode == 0
            endless.wait_for_state("STOPPED", timeout=15)
        assert listening.killed >= 5
        assert beating.killed >= 3
        assert job.states() == ["SCHEDULED", "RUNNING", "COMPLETED"]
        assert endless.states() == ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPING", "STOPPED"]
    assert_alive(*daemons)


def test_without_any_notification_jobs_start_and_stop_within_two_seconds(
    url: str, make_cluster: Callable[..., Cluster]
) -> None:
    with Proxy(url, drop_notifications=True) as proxy:
        cluster = make_cluster(USUAL_SETTINGS, proxy.url)
        daemons = [cluster.start_controller(), cluster.start_worker("deaf")]
        with slow_job(cluster, url, "endless", end_block=None, length=4000) as job:
            job.wait_for_commits(1)
            assert job.at("RUNNING") - job.at("SCHEDULED") < timedelta(seconds=2.5)
            assert cluster.ampctl("job", "stop", str(job.id)).returncode == 0
            job.wait_for_state("STOPPED", timeout=15)
            assert job.at("STOPPING") - job.at("STOP_REQUESTED") < timedelta(seconds=2.5)
        assert proxy.dropped_notifications >= 2, "hints came through"
        assert_alive(*daemons)
        cluster.end()


@pytest.mark.long
def test_while_the_database_is_away_for_longer_than_a_lease_nothing_is_written(
    server: Server, url: str, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster()
    daemons = [cluster.start_controller(), cluster.start_worker("steady")]
    with slow_job(cluster, url, "away") as job:
        job.wait_for_commits()
        server.stop()
        try:
            # Until the lease ends it may write what it has in hand.
            stays("no daemon ends", lambda: none_has_ended(daemons), LEASE_SECONDS + 0.5)
            written = job.files()
            stays("no file is written", lambda: job.files() <= written, 2 * LEASE_SECONDS)
        finally:
            server.start()
        job.assert_exact()
        assert set(job.runs()) == {"steady"}
    assert_alive(*daemons)
    assert [daemon.end() for daemon in daemons] == [0, 0]


@pytest.mark.parametrize(
    "heal",
    [
        Proxy.thaw,
        pytest.param(Proxy.thaw_with_reset, marks=pytest.mark.long),
        pytest.param(Proxy.thaw_for_new_connections, marks=pytest.mark.long),
    ],
    ids=["what-was-held-arrives", "connections-are-reset", "connections-stay-silent"],
)
def test_a_worker_that_is_cut_off_loses_its_job_and_writes_nothing_until_it_is_back(
    heal: Callable[[Proxy], None], url: str, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster()
    cluster.start_controller()
    with Proxy(url) as proxy:
        cut_off = cluster.start_worker("cut-off", environment=through(proxy))
        with slow_job(cluster, url, "moved", latency=0.2) as job:
            job.wait_for_commits()
            healthy = cluster.start_worker("healthy")
            proxy.freeze()
            job.wait_for_worker("healthy", TAKEOVER_SECONDS)
            heir = job.row()["lease_epoch"]
            job.wait_for_commits(1)
            heal(proxy)  # while the other one writes
            job.assert_exact()
            assert job.runs() == ["cut-off", "healthy"]
            assert all(event.lease_epoch == heir for event in job.events()[-2:])
            assert job.row()["lease_epoch"] == heir
        assert healthy.end() == 0
        # It works again; nobody else is there.
        with slow_job(cluster, url, "after", end_block=FIRST_BLOCK + 7) as job:
            job.wait_for_state("COMPLETED", timeout=20)
            assert job.runs() == ["cut-off"]
            job.lake.assert_whole(FIRST_BLOCK, FIRST_BLOCK + 7)
        assert_alive(cut_off)
        assert cut_off.end() == 0


@pytest.mark.long
def test_a_database_that_only_reads_for_a_while_ends_no_daemon(url: str, make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    daemons = [cluster.start_controller(), cluster.start_worker("steady")]
    with slow_job(cluster, url, "read_only") as job, psycopg.connect(url, autocommit=True) as operator:
        job.wait_for_commits()
        operator.execute("SET default_transaction_read_only = off")
        database = operator.info.dbname
        operator.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on'.encode())
        with SessionKiller(url, "ampd%", every_seconds=0.2):
            stays("no daemon ends", lambda: none_has_ended(daemons), 1.0)
        stays("no daemon ends", lambda: none_has_ended(daemons), 2 * LEASE_SECONDS)
        operator.execute(f'ALTER DATABASE "{database}" RESET default_transaction_read_only'.encode())
        with SessionKiller(url, "ampd%", every_seconds=0.2):
            stays("no daemon ends", lambda: none_has_ended(daemons), 1.0)
        job.assert_exact()
    assert_alive(*daemons)
