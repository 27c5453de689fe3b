"""The processes of the demo: started, watched, and always ended again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ampd.client import Ampd, ApiError
from ampd.errors import AmpError, ErrorCode

SOLO_LOG = "solo.log"
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.05
# Small segments, so that the few blocks of the demo move the progress bar more than once.
_BLOCKS_PER_SEGMENT = "4"


@contextmanager
def replay_node(blocks: Path, *options: str) -> Iterator[str]:
    """Run a replay node on the recorded ``blocks``, with ``options`` of its command, and give its URL."""
    arguments = ["replay-node", "--blocks", str(blocks), "--port", "0", *options]
    with _process(arguments, {}, None) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = process.stdout.readline()
        if not line:
            raise AmpError(ErrorCode.RECORDED_BLOCKS_INVALID, "the replay node did not start; its message is above")
        yield next(word for word in line.split() if word.startswith("http://"))


@contextmanager
def solo(amp_dir: Path) -> Iterator[str]:
    """Run ``ampd solo`` on ``amp_dir`` and give the address of its Admin API, once that and a worker are up."""
    address = f"127.0.0.1:{_free_port()}"
    environment = {
        "AMP_CONFIG_ADMIN_API_ADDR": address,
        "AMP_CONFIG_WRITER__MAX_RANGE_BLOCKS": _BLOCKS_PER_SEGMENT,
        # Jobs of the dashboard's demo call its node.
        "AMP_CONFIG_HTTP_JOBS__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
    }
    log = amp_dir / SOLO_LOG
    with _process(["solo", "--amp-dir", str(amp_dir)], environment, log) as process:
        url = f"http://{address}"
        _wait_until_up(process, url, log)
        yield url


def _wait_until_up(process: subprocess.Popen[str], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    with Ampd(url) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if any(worker.live for worker in client.workers.list()):
                    return
            except ApiError:
                pass  # not up yet
            time.sleep(_POLL_SECONDS)
    gave_up = process.poll() is None
    what = f"was not up within {START_TIMEOUT_SECONDS:.0f} s" if gave_up else "ended before it was up"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise AmpError(
        ErrorCode.INTERNAL_ERROR,
        f"ampd solo {what}; the end of its log: " + " | ".join(lines[-3:]),
    )


@contextmanager
def _process(arguments: list[str], environment: dict[str, str], log: Path | None) -> Iterator[subprocess.Popen[str]]:
    """Run ``ampd`` with ``arguments``; what it logs goes to the file ``log``."""
    log_file = log.open("w", encoding="utf-8") if log is not None else None
    process = subprocess.Popen(
        [sys.executable, "-m", "ampd.cli.ampd", *arguments],
        env={**os.environ, **environment},
        stdout=log_file or subprocess.PIPE,
        stderr=log_file,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl+C reaches the demo, which then ends its processes in order
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdout, log_file):
            if stream is not None:
                stream.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
