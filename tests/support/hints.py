"""Hints sent by hand to all who listen for them: true ones, untrue ones, what is none at all, and many."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from ampd.jobs.notification import CHANNEL


def hint(node_id: Any, job_id: Any, action: Any) -> str:
    """Return the payload of a hint."""
    return json.dumps({"node_id": node_id, "payload": {"job_id": job_id, "action": action}})


def send_hints(database_url: str, *payloads: str) -> None:
    """Notify all who listen, of each payload by itself."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for payload in payloads:
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))


@contextmanager
def flood(database_url: str) -> Iterator[Callable[[], int]]:
    """Send hints without a pause until the block ends; gives a function that tells how many there were."""
    is_over = threading.Event()
    payloads = (hint(None, None, "PLACE"), hint("left", 1, "START"), hint("right", 1, "STOP"), "no hint")
    sent = 0

    def pour() -> None:
        nonlocal sent
        while not is_over.is_set():
            send_hints(database_url, *payloads * 25)
            sent += 25 * len(payloads)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield lambda: sent
    finally:
        is_over.set()
        thread.join()
