from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from rich.console import Console

from ampd.cli.ctl.progress_bar import picture, share_done
from ampd.cli.ctl.watch import watch_progress
from ampd.client import Ampd, ApiError, Progress

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


def drawn(progress: dict[str, Any]) -> str:
    """Return what a terminal of 80 columns shows."""
    console = Console(width=80, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(picture(Progress.from_json(progress)))
    return capture.get()


def test_a_terminal_gets_a_bar_with_the_share_the_pace_and_the_time_left() -> None:
    half = TABLE | {"start_block": 100, "current_block": 199}
    tables = {"blocks": half | {"current_block": 250}, "logs": half}
    shown = drawn(RUNNING | {"end_block": 299, "blocks_per_second": 1234.5, "eta_seconds": 90, "tables": tables})
    bar, pace, *_ = shown.splitlines()
    assert "50.0%" in bar
    assert "━" in bar
    assert pace.strip() == "1,234.5 blocks/s, 1m 30s left"


@pytest.mark.parametrize(
    ("tables", "end_block", "share"),
    [
        ({}, 9, 0.0),
        ({"blocks": TABLE, "logs": TABLE | {"start_block": None, "current_block": None}}, 9, 0.0),
        ({"blocks": TABLE}, 9, 1.0),
        ({"blocks": TABLE}, 5, 1.0),
        ({"blocks": TABLE}, 99, 0.1),
        ({"blocks": TABLE}, None, None),
    ],
)
def test_the_share_is_that_of_the_blocks_that_all_tables_have(
    tables: dict[str, Any], end_block: int | None, share: float | None
) -> None:
    assert share_done(Progress.from_json(RUNNING | {"tables": tables, "end_block": end_block})) == share


def test_a_job_that_is_not_quite_complete_never_shows_100_percent() -> None:
    nearly = RUNNING | {"end_block": 99_999, "tables": {"blocks": TABLE | {"current_block": 99_998}}}
    assert "100.0%" not in drawn(nearly)
    assert "99.9%" in drawn(nearly)


def test_a_job_without_an_end_shows_the_block_that_it_has_reached() -> None:
    assert "following the chain block 9" in drawn(RUNNING | {"tables": {"blocks": TABLE}})
    assert "no block yet" in drawn(RUNNING)
