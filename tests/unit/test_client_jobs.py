"""What the client makes of answers about jobs, and what it sends for calls about them."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ampd.admin_api.bodies.job_models import BulkBody, JobBody, JobHistoryBody, JobStatsBody
from ampd.client import (
    Ampd,
    ApiError,
    AsyncAmpd,
    BulkResult,
    Instant,
    Job,
    JobError,
    JobHistory,
    JobPage,
    JobStats,
    JobStatus,
)


def example(model: Any) -> dict[str, Any]:
    """Return the example that the specification of the Admin API shows."""
    shown: dict[str, Any] = model.model_config["json_schema_extra"]["examples"][0]
    return shown


JOB = example(JobBody)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
NOON_MS = 1_772_625_600_000


def sent(call: Callable[[Ampd], Any], answer: dict[str, Any]) -> tuple[str, str, dict[str, str], Any]:
    """Return method, path, query and body of the request of a call."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answer)

    call(Ampd("http://amp.test", transport=httpx.MockTransport(handle)))
    request = seen[-1]
    body = json.loads(request.content) if request.content else None
    return request.method, request.url.path, dict(request.url.params), body


def test_a_moment_is_a_number_of_milliseconds_and_a_datetime() -> None:
    moment = Instant(NOON_MS + 250)
    assert moment / 1000 == NOON_MS / 1000 + 0.25
    assert moment.datetime == datetime(2026, 3, 4, 12, 0, 0, 250_000, tzinfo=UTC)
    assert moment.isoformat() == "2026-03-04T12:00:00.250000+00:00"
    assert moment.astimezone(UTC) == moment.datetime
    assert json.dumps({"at": moment}) == f'{{"at": {NOON_MS + 250}}}'


def test_a_status_is_the_word_of_the_second_lifecycle_and_equals_the_state() -> None:
    status = JobStatus("cancelled", "STOPPED")
    assert f"{status}" == "cancelled"
    assert status in {"cancelled", "failed"}
    assert "STOPPED" == status == "cancelled"
    assert status not in ("stopped", "completed", "SCHEDULED", None)
    assert (status != "STOPPED", status != "FAILED") == (False, True)
    running, stopping = JobStatus("running", "RUNNING"), JobStatus("running", "STOPPING")
    assert running == JobStatus("running", "RUNNING")
    assert running != "STOPPING"
    assert stopping == "STOPPING"
    for again in (copy.deepcopy(status), pickle.loads(pickle.dumps(status))):
        assert (again, again.state) == ("cancelled", "STOPPED")


def test_an_error_is_its_message_and_knows_the_rest() -> None:
    raw = {"error_code": "NODE_DOWN", "error_message": "the node is down", "error_context": {"url": "x"}}
    error = JobError(raw)
    assert f"Last error: {error}" == "Last error: the node is down"
    assert (error.code, error.context, error["error_message"], error[:3]) == ("NODE_DOWN", {"url": "x"}, error, "the")
    assert copy.deepcopy(error).code == "NODE_DOWN"
    assert JobError({}).code == "unknown"
    assert JobError.maybe(None) is None


def test_a_job_has_every_field_of_the_answer_under_its_name_in_the_second_lifecycle() -> None:
    job = Job.from_json(JOB)
    in_milliseconds = {"every_ms": "every"}
    renamed = {"node_id", "descriptor", *(name for name in JOB if name.endswith("_ms"))}
    assert {in_milliseconds.get(name, name) for name in JOB.keys() - (renamed - in_milliseconds.keys())} == {
        name for name in vars(job) if name not in {"raw", "tables"}
    }
    assert (job.status, job.state, job.is_terminal) == ("running", "RUNNING", False)
    assert job.created_at == JOB["created_at_ms"]
    assert str(job.dataset) == "ethereum/mainnet@1.0.0"
    assert job.run_at.isoformat() == "2026-03-04T10:00:00+00:00"


def test_milliseconds_of_servers_that_have_only_text_are_read_from_that() -> None:
    older = {name: value for name, value in JOB.items() if not name.endswith("_ms")}
    job = Job.from_json(older)
    assert (job.created_at, job.scheduled_at) == (JOB["created_at_ms"], JOB["scheduled_at_ms"])


def test_a_page_of_jobs_is_a_sequence() -> None:
    page = JobPage.from_json({"jobs": [JOB, JOB | {"id": 7}], "next_cursor": 7})
    assert [job.id for job in page] == [JOB["id"], 7]
    assert (len(page), page[1].id, page[-1].id) == (2, 7, 7)


def test_history_statistics_and_results_are_read_as_the_specification_shows_them() -> None:
    history = JobHistory.from_json(example(JobHistoryBody))
    (execution,) = history.executions
    assert (execution.number, execution.duration_ms, execution.error) == (1, 5_400_000, None)
    assert execution.completed_at is not None
    assert execution.started_at is not None
    assert execution.completed_at - execution.started_at == execution.duration_ms
    assert execution.attempts[0].outcome == "COMPLETED"
    stats = JobStats.from_json(example(JobStatsBody))
    assert {name: value for name, value in vars(stats).items() if name != "raw"} == example(JobStatsBody)
    assert BulkResult.from_json(example(BulkBody)).count == 117


OPERATIONS: dict[str, tuple[Callable[[Ampd], Any], str, Any]] = {
    "cancel": (lambda c: c.jobs.cancel(7, reason="why"), "/jobs/7/cancel", {"reason": "why"}),
    "cancel without a reason": (lambda c: c.jobs.cancel("7"), "/jobs/7/cancel", {}),
    "pause": (lambda c: c.jobs.pause(7, reason="why"), "/jobs/7/pause", {"reason": "why"}),
    "resume": (lambda c: c.jobs.resume(7), "/jobs/7/resume", {}),
    "retry": (lambda c: c.jobs.retry(7, delay=60000), "/jobs/7/retry", {"delay_ms": 60000}),
    "reschedule": (
        lambda c: c.jobs.reschedule(7, start_at=NOON, limit=None, every=5000),
        "/jobs/7/reschedule",
        {"start_at": "2026-03-04T12:00:00+00:00", "limit": None, "every": 5000},
    ),
    "create": (
        lambda c: c.jobs.create(
            "http",
            {"url": "x"},
            labels={"team": "data"},
            product="a",
            env=None,
            retries=None,
            schedule={"cron": "@daily", "tz": None, "end_date": NOON},
            start_at=NOON_MS,
            depends_on=("a/b", 3),
            worker=None,
        ),
        "/jobs",
        {
            "kind": "http",
            "input": {"url": "x"},
            "labels": {"team": "data", "product": "a"},
            "retries": None,
            "schedule": {"cron": "@daily", "end_date": "2026-03-04T12:00:00+00:00"},
            "start_at": NOON_MS,
            "depends_on": ["a/b", 3],
        },
    ),
    "create with nothing": (lambda c: c.jobs.create("noop"), "/jobs", {"kind": "noop", "input": {}}),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_sends_what_was_given_and_nothing_else(operation: str) -> None:
    call, path, body = OPERATIONS[operation]
    assert sent(call, JOB) == ("POST", path, {}, body)


MANY: dict[str, tuple[Callable[[Ampd], Any], str, Any]] = {
    "cancel": (
        lambda c: c.jobs.cancel_many(product="a", status=["scheduled", "queued"], reason="why"),
        "/jobs/cancel",
        {"product": "a", "status": "scheduled,queued", "reason": "why"},
    ),
    "pause": (lambda c: c.jobs.pause_many(recurring=True), "/jobs/pause", {"recurring": True}),
    "resume": (lambda c: c.jobs.resume_many(all=True, env=None), "/jobs/resume", {"all": True}),
    "retry": (
        lambda c: c.jobs.retry_many(from_=NOON, to=NOON_MS, delay=5, job_ids=["3", 4]),
        "/jobs/retry",
        {"from": "2026-03-04T12:00:00+00:00", "to": NOON_MS, "delay_ms": 5, "job_ids": [3, 4]},
    ),
    "delete": (
        lambda c: c.jobs.delete_many(labels={"a": "b"}, dry_run=True),
        "/jobs/delete",
        {"labels": {"a": "b"}, "dry_run": True},
    ),
}


@pytest.mark.parametrize("operation", MANY)
def test_an_operation_on_many_sends_its_criteria(operation: str) -> None:
    call, path, body = MANY[operation]
    assert sent(call, example(BulkBody)) == ("POST", path, {}, body)


def test_lists_and_statistics_ask_by_the_names_of_the_wire() -> None:
    filters: dict[str, Any] = {"recurring": False, "from_": NOON_MS, "labels": {"a": "b"}, "namespace": "http"}
    wanted = {"recurring": "false", "from": str(NOON_MS), "label": "a=b", "namespace": "http"}
    listed = sent(lambda c: c.jobs.list(limit=5, offset=3, status=["failed", "paused"], **filters), {"jobs": []})
    assert listed == ("GET", "/jobs", wanted | {"limit": "5", "offset": "3", "status": "failed,paused"}, None)
    assert sent(lambda c: c.jobs.list(after=9), {"jobs": []})[2] == {"last_job_id": "9", "status": "all"}
    assert sent(lambda c: c.jobs.get_stats(**filters), example(JobStatsBody))[1:3] == ("/jobs/stats", wanted)


def test_a_preview_asks_with_a_schedule_and_reads_its_times() -> None:
    answer = {"tz": "UTC", "tzdata": "2026b", "times": [{"at": "2026-03-04T12:00:00Z", "at_ms": NOON_MS, "local": "x"}]}
    asked = sent(lambda c: c.jobs.preview(count=1, from_=NOON, cron="@daily"), answer)
    body = {"schedule": {"cron": "@daily"}, "count": 1, "from": "2026-03-04T12:00:00+00:00"}
    assert asked == ("POST", "/schedules/preview", {}, body)
    assert sent(lambda c: c.jobs.next(7, count=2), answer) == ("GET", "/jobs/7/next", {"count": "2"}, None)


def test_what_cannot_be_meant_is_refused_before_anything_is_sent() -> None:
    naive = NOON.replace(tzinfo=None)
    client = Ampd("http://127.0.0.1:9")
    for call, code in (
        (lambda: client.jobs.cancel_many(job_ids=["x"]), "INVALID_JOB_ID"),
        (lambda: client.jobs.reschedule(7, start_at=naive), "INVALID_SCHEDULE"),
        (lambda: client.jobs.retry_many(from_=naive), "INVALID_BODY"),
        (lambda: client.jobs.create("http", start_at=naive), "INVALID_BODY"),
    ):
        with pytest.raises(ApiError) as refused:
            call()
        assert (refused.value.code, refused.value.status) == (code, None)


@pytest.mark.parametrize("resource", ["jobs", "workers", "datasets", "manifests", "providers", "webhooks"])
def test_both_clients_have_the_same_calls_with_the_same_parameters(resource: str) -> None:
    asynchronous = AsyncAmpd("http://127.0.0.1:9")
    with Ampd("http://127.0.0.1:9") as synchronous:
        there = {name: _face(getattr(client, resource)) for name, client in (("a", synchronous), ("b", asynchronous))}
    assert there["a"] == there["b"]
    assert len(there["a"]) > 2
    asyncio.run(asynchronous.close())


def _face(resource: object) -> dict[str, tuple[str, str]]:
    """Return the calls of a resource with their parameters and what they say of themselves."""
    calls = {name: getattr(resource, name) for name in dir(resource) if not name.startswith("_")}
    return {name: (str(inspect.signature(call).parameters), inspect.getdoc(call) or "") for name, call in calls.items()}
