"""An end for every wait on the database, also when nothing comes from the other side any more.

Timeouts of the server do not help when the server is cut off, those of TCP not on a Unix socket or behind a proxy. So a
wait that has lasted too long has its socket shut: libpq then reports a lost connection, as for any other.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg


@contextmanager
def cut_after(connection: psycopg.AsyncConnection[Any], seconds: float) -> Iterator[None]:
    """Shut the socket of ``connection`` when the block has not ended after ``seconds``."""
    timer = asyncio.get_running_loop().call_later(seconds, shut, connection)
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def cut_thread_after(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """The same for a connection that a thread waits on."""
    timer = threading.Timer(seconds, shut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shut(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Shut the socket of ``connection``; whoever waits on it gets an OperationalError."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        return  # it is closed already
