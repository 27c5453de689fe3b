"""The heartbeat of a worker: its own thread and its own connection, so that no work in this process can hold it up
(design 4.3, 4.4).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from psycopg.rows import dict_row

from ampd.errors import AmpError, describe_exception
from ampd.jobs import Beat, WorkerIdentity, WorkerSession
from ampd.metadata_db.deadline import cut_thread_after
from ampd.metadata_db.pool import CONNECT_TIMEOUT_SECONDS, SESSION_OPTIONS, TCP_OPTIONS, unreachable
from ampd.telemetry.job_metrics import LOST_BEATS, LeaseAge

_log = structlog.get_logger(__name__)

# The share of a lease that passes at most between two tries to connect again.
_LONGEST_PAUSE = 0.25


@dataclass(frozen=True)
class HeartbeatSettings:
    """Seconds between beats, and seconds after the last one until the worker counts as dead."""

    interval_seconds: float = 1.0
    lease_seconds: float = 5.0


class Heartbeat:
    """Registers the worker, then beats. Each beat brings back what the worker should be doing, given to ``on_beat`` on
    the heartbeat's thread.

    ``on_end`` gets the error when another process has taken the name. A lost connection is opened again; while it is
    lost, :meth:`is_trusted` turns False one lease after the last beat that arrived.
    """

    def __init__(
        self,
        url: str,
        identity: WorkerIdentity,
        *,
        info: dict[str, Any],
        slots: int,
        settings: HeartbeatSettings,
        on_beat: Callable[[Beat], None],
        on_end: Callable[[AmpError], None],
    ) -> None:
        self._url = url
        self._identity = identity
        self._info = info
        self._slots = slots
        self._settings = settings
        self._on_beat = on_beat
        self._on_end = on_end
        self._connection: psycopg.Connection[Any] | None = None
        self._trusted_until = 0.0
        self._lease_age = LeaseAge()
        self._holds_name_lock = True
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._draining = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Register and begin to beat. Blocks until the registration is done.

        :raises AmpError: METADATA_DB_UNREACHABLE, or NODE_ID_IN_USE when another process with this name is alive.
        """
        try:
            session = self._connect()
            self._holds_name_lock = session.register(info=self._info, slots=self._slots)
            self._beat(session)
        except psycopg.Error as error:
            self._disconnect()
            raise unreachable(self._url, error) from error
        except AmpError:
            self._disconnect()
            raise
        self._thread.start()

    def beat_now(self) -> None:
        """Beat without waiting for the next turn: something may be wanted."""
        self._wake.set()

    def drain(self) -> None:
        """Ask for no new work, with the next beat, which is now."""
        self._draining.set()
        self._wake.set()

    def is_trusted(self) -> bool:
        """Tell whether the lease can still be ours: a beat arrived less than a lease ago (monotonic clock)."""
        return time.monotonic() < self._trusted_until

    def stop(self) -> None:
        """End the thread and leave in good order. Blocks until that is done."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _connect(self) -> WorkerSession:
        self._connection = psycopg.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            options=SESSION_OPTIONS,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name=f"ampd heartbeat {self._identity.node_id}",
            **{**TCP_OPTIONS, "tcp_user_timeout": int(self._settings.lease_seconds * 1000)},
        )
        return WorkerSession(self._connection, self._identity, lease_seconds=self._settings.lease_seconds)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self) -> None:
        session: WorkerSession | None = self._session()
        pause = self._settings.interval_seconds
        while not self._stop.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            if self._stop.is_set():
                break
            try:
                if session is None:
                    session = self._connect()
                    self._holds_name_lock = False
                self._beat(session)
                pause = self._settings.interval_seconds
            except psycopg.Error as error:
                LOST_BEATS.inc()
                _log.warning("heartbeat.lost", error=describe_exception(error).strip(), retry_in_s=pause)
                self._disconnect()
                session = None
                pause = min(self._settings.interval_seconds, _LONGEST_PAUSE * self._settings.lease_seconds)
            except AmpError as error:
                self._on_end(error)
                break
        self._leave(session)

    def _session(self) -> WorkerSession | None:
        if self._connection is None:
            return None
        return WorkerSession(self._connection, self._identity, lease_seconds=self._settings.lease_seconds)

    def _beat(self, session: WorkerSession) -> None:
        assert self._connection is not None  # noqa: S101 - the session stands on it
        with cut_thread_after(self._connection, self._settings.lease_seconds):
            if not self._holds_name_lock:
                # A lost session keeps the lock until the server notices its end: then it must be ours again.
                self._holds_name_lock = session.take_name_lock()
            if self._draining.is_set():
                session.set_draining()
            beat = session.beat()
        self._trusted_until = beat.sent_at + self._settings.lease_seconds
        self._lease_age.beat(beat.sent_at)
        self._on_beat(beat)

    def _leave(self, session: WorkerSession | None) -> None:
        try:
            if session is not None and self._stop.is_set():
                session.retire()
        except psycopg.Error as error:
            _log.warning("heartbeat.leave_failed", error=describe_exception(error).strip())
        finally:
            self._lease_age.end()
            self._disconnect()
