"""Receive webhooks of ampd: verify each, take it once, and forget what comes too late.

WEBHOOK_SECRET=whsec_… python examples/receive_webhooks.py PORT
"""

# ruff: noqa: T201 - a program for people prints
from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from ampd.client import WebhookVerificationError, verify_webhook

SECRET = os.environ["WEBHOOK_SECRET"]
LARGEST_BODY = 1_000_000


class Inbox:
    """What was taken. A receiver that must not forget it keeps both in its database, in one transaction with its
    work.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._newest: dict[str, int] = {}

    def take(self, message_id: str, message: dict[str, Any]) -> bool:
        """Tell whether a message is new to us and newer than what we know of its job."""
        if message_id in self._seen:  # sent twice: our answer to the first one was lost
            return False
        self._seen.add(message_id)
        job_id, sequence = message["job"]["id"], message["sequence"]
        if sequence < self._newest.get(job_id, 0):  # replayed after later ones
            return False
        self._newest[job_id] = sequence
        return True


class Handler(BaseHTTPRequestHandler):
    """Answers 204 to what is genuine, also when it came before, and 400 to all else."""

    inbox = Inbox()

    def do_POST(self) -> None:
        """Take one message."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), LARGEST_BODY))
        try:
            message = verify_webhook(body, dict(self.headers), SECRET)
        except WebhookVerificationError as error:
            self.send_error(400, str(error))
            return
        if self.inbox.take(self.headers["webhook-id"], message):
            job = message["job"]
            print(
                f"{message['event']}: job {job['id']} is {job['status']}{': ' * ('error' in job)}{job.get('error', '')}"
            )
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing of requests."""


def main() -> None:
    """Listen until Ctrl+C."""
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
