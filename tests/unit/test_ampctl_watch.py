from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from ampd.cli.ctl.watch import watch_progress
from ampd.client import Ampd, ApiError

RUNNING: dict[str, Any] = {
    "job_id": 7,
    "job_status": "RUNNING",
    "tables": {},
    "end_block": None,
    "blocks_per_second": None,
    "eta_seconds": None,
    "gaps": {},
    "gaps_truncated": False,
    "last_error": None,
}
COMPLETED = RUNNING | {"job_status": "COMPLETED"}
TABLE = {"start_block": 0, "current_block": 9, "files_count": 1, "total_size_bytes": 5, "row_count": 10}


def client_of(answers: Sequence[dict[str, Any] | int | Exception]) -> Ampd:
    """Return a client whose server gives ``answers`` one after another: a body, a status, or no answer."""
    remaining = iter(answers)

    def handle(_request: httpx.Request) -> httpx.Response:
        answer = next(remaining)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            code = "METADATA_DB_UNREACHABLE" if answer == 503 else "JOB_NOT_FOUND"
            return httpx.Response(answer, json={"error_code": code, "error_message": "no"})
        return httpx.Response(200, json=answer)

    return Ampd("http://amp.test", transport=httpx.MockTransport(handle))


def test_a_pipe_gets_a_line_per_change_and_none_for_a_mere_change_of_pace(capsys: pytest.CaptureFixture[str]) -> None:
    grown = RUNNING | {"tables": {"blocks": TABLE}}
    answers = [RUNNING, RUNNING, RUNNING | {"blocks_per_second": 3.0}, grown, grown, COMPLETED]
    last = watch_progress(client_of(answers), 7, interval=0, as_json=False)
    assert last.job_status == "COMPLETED"
    assert capsys.readouterr().out.splitlines() == ["7 RUNNING", "7 RUNNING  blocks 0-9 (1 files)", "7 COMPLETED"]


def test_json_is_a_line_per_change_too(capsys: pytest.CaptureFixture[str]) -> None:
    watch_progress(client_of([RUNNING, RUNNING, COMPLETED]), 7, interval=0, as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [RUNNING, COMPLETED]


def test_a_watch_outlives_a_restart_of_the_admin_api_and_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    gone = httpx.ConnectError("gone")
    watch_progress(client_of([RUNNING, gone, gone, 503, COMPLETED]), 7, interval=0, as_json=False)
    written = capsys.readouterr()
    assert written.out.splitlines() == ["7 RUNNING", "7 COMPLETED"]
    assert written.err.count("still trying") == 1


def test_a_watch_ends_when_the_job_is_gone_or_nobody_answers_at_first() -> None:
    with pytest.raises(ApiError, match="no"):
        watch_progress(client_of([RUNNING, 404]), 7, interval=0, as_json=False)
    with pytest.raises(ApiError, match="gone"):
        watch_progress(client_of([httpx.ConnectError("gone")]), 7, interval=0, as_json=False)
