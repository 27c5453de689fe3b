"""Who gets a worker's name when several processes want it in the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import WorkerIdentity, WorkerSession
from support.daemons import wait_for
from support.engine import LEASE_SECONDS, SECONDS, worker_session

LOCKS: Final = """
SELECT FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
WAITING: Final = f"{LOCKS} AND NOT granted"


def _register_at_once(
    url: str, count: int, staged: Callable[[], None] | None = None
) -> tuple[list[WorkerSession], list[AmpError]]:
    """Register so many processes under one name on threads; return those that could, and the refusals."""
    barrier = threading.Barrier(count, timeout=SECONDS)
    registered: list[WorkerSession] = []
    refused: list[AmpError] = []

    def register(connection: psycopg.Connection[Any]) -> None:
        session = WorkerSession(connection, WorkerIdentity("w1", uuid4()), lease_seconds=LEASE_SECONDS)
        barrier.wait()
        try:
            session.register(info={}, slots=1)
            registered.append(session)
        except AmpError as error:
            connection.close()  # as a process does that is refused
            refused.append(error)

    with ThreadPoolExecutor(count) as pool:
        links = [psycopg.connect(url, autocommit=True, row_factory=dict_row) for _ in range(count)]
        tasks = [pool.submit(register, link) for link in links]
        if staged is not None:
            staged()
        for task in tasks:
            task.result(SECONDS)
    return registered, refused


def _surviving(sessions: list[WorkerSession]) -> list[WorkerSession]:
    """Those that still have the name at their next beat."""
    alive = []
    for session in sessions:
        try:
            session.beat()
            alive.append(session)
        except AmpError as error:
            assert error.code is ErrorCode.NODE_ID_IN_USE
    return alive


def _close(sessions: list[WorkerSession]) -> None:
    for session in sessions:
        session._connection.close()


@pytest.mark.parametrize("count", [2, 6])
@pytest.mark.parametrize("before", ["fresh", "stale", "frozen"])
def test_of_processes_that_register_one_name_at_once_one_gets_it(database_url: str, before: str, count: int) -> None:
    """The name is new; or its process died; or it is frozen, and its session still holds the lock on the name.

    A fourth session holds the turn to register until all of them wait for it.
    """
    with ExitStack() as stack, psycopg.connect(database_url, row_factory=dict_row) as holder:
        watcher = stack.enter_context(psycopg.connect(database_url, autocommit=True, row_factory=dict_row))
        if before != "fresh":
            predecessor = stack.enter_context(worker_session(database_url))
            watcher.execute("UPDATE worker_heartbeats SET heartbeat_at = now() - interval '1 hour'")
            if before == "stale":
                predecessor._connection.close()
                wait_for("its lock to be free", lambda: not watcher.execute(LOCKS).fetchall())
        holder.execute("SELECT pg_advisory_xact_lock(hashtextextended('ampd.registration:w1', 0))")

        def let_go_when_all_wait() -> None:
            wait_for("all to wait", lambda: len(watcher.execute(WAITING).fetchall()) == count)
            holder.commit()

        registered, refused = _register_at_once(database_url, count, let_go_when_all_wait)
        try:
            (winner,) = _surviving(registered)
            assert all(error.code is ErrorCode.NODE_ID_IN_USE for error in refused)
            assert len(refused) >= count - 2  # one may have had the name for a moment, before the owner of its lock
            named = watcher.execute(
                "SELECT w.incarnation AS w, h.incarnation AS h FROM workers w JOIN worker_heartbeats h USING (node_id)"
            ).fetchall()
            assert named == [{"w": winner._identity.incarnation, "h": winner._identity.incarnation}]
        finally:
            _close(registered)


def test_who_registers_while_a_name_is_taken_for_good_is_refused_and_changes_nothing(database_url: str) -> None:
    with worker_session(database_url) as owner, psycopg.connect(database_url, row_factory=dict_row) as admin:
        rows = "SELECT to_jsonb(w) AS w, h.incarnation FROM workers w JOIN worker_heartbeats h USING (node_id)"
        before = admin.execute(rows).fetchall()
        registered, refused = _register_at_once(database_url, 4)
        assert registered == []
        assert {error.code for error in refused} == {ErrorCode.NODE_ID_IN_USE}
        assert all("--node-id" in error.message for error in refused)
        assert admin.execute(rows).fetchall() == before
        assert owner.beat().wanted == []


def test_the_name_of_a_worker_that_has_retired_is_free_though_its_session_has_not_ended(database_url: str) -> None:
    with worker_session(database_url) as retired:
        retired.retire()
        with worker_session(database_url) as successor:
            assert successor.beat().wanted == []
