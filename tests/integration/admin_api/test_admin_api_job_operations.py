"""Operations on jobs over HTTP, on one and on many, and what is told of them afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from admin_api_cluster import Cluster, error

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import Deployment, Job

FAILURE = AmpError(ErrorCode.NETWORK_MISMATCH, "another chain")
PASSING = AmpError(ErrorCode.NODE_UNREACHABLE, "gone for now", recoverable=True)


async def deploy(cluster: Cluster, key: str, **changes: Any) -> Job:
    """Deploy a job that is not of a dataset, as any kind can be."""
    return await cluster.services.jobs.deploy(
        Deployment(**{"kind": "noop", "idempotency_key": key, "input": {"key": key}} | changes), actor="test"
    )


async def failed(cluster: Cluster, key: str, **changes: Any) -> int:
    job = await deploy(cluster, key, **changes)
    assert await cluster.leased.fail(await cluster.start(job.id), FAILURE)
    return job.id


async def call(cluster: Cluster, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = await cluster.api.post(f"/jobs/{path}", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def shown(cluster: Cluster, job_id: int) -> dict[str, Any]:
    told: dict[str, Any] = (await cluster.api.get(f"/jobs/{job_id}")).json()
    return told


def counts(told: dict[str, Any]) -> tuple[int, int, int]:
    assert told["count"] == told["changed"]
    return told["matched"], told["changed"], told["skipped"]


# --- one job


async def test_a_cancelled_job_tells_why_in_itself_and_in_its_history(cluster: Cluster) -> None:
    job = await deploy(cluster, "k")
    told = await call(cluster, f"{job.id}/cancel", {"reason": "Campaign ended early"})
    assert (told["status"], told["lifecycle"], told["stop_reason"]) == ("STOPPED", "cancelled", "Campaign ended early")
    assert told["completed_at"] == told["updated_at"]
    assert told["started_at"] is None
    events = (await cluster.api.get(f"/jobs/{job.id}/events")).json()["events"]
    assert [event["detail"] for event in events] == [{"key": "k"}, {"reason": "Campaign ended early"}]
    again = await call(cluster, f"{job.id}/cancel", {"reason": "another one"})
    assert again == told


async def test_a_running_job_is_cancelled_when_its_worker_has_finished_and_keeps_the_reason(cluster: Cluster) -> None:
    job = await deploy(cluster, "k")
    lease = await cluster.start(job.id)
    told = await call(cluster, f"{job.id}/cancel", {"reason": "why not"})
    assert (told["status"], told["stop_intent"], told["stop_reason"]) == ("STOP_REQUESTED", "STOP", "why not")
    assert await cluster.leased.stop(lease)
    told = await shown(cluster, job.id)
    assert (told["status"], told["stop_intent"], told["stop_reason"]) == ("STOPPED", None, "why not")
    await deploy(cluster, "k")
    assert (await shown(cluster, job.id))["stop_reason"] is None


async def test_a_waiting_job_is_paused_at_once_and_due_again_when_it_is_resumed(cluster: Cluster) -> None:
    job = await deploy(cluster, "k")
    told = await call(cluster, f"{job.id}/pause", {"reason": "maintenance"})
    assert (told["status"], told["lifecycle"], told["stop_reason"]) == ("PAUSED", "paused", "maintenance")
    assert await call(cluster, f"{job.id}/pause") == told
    assert [each["id"] for each in (await cluster.api.get("/jobs?status=paused")).json()["jobs"]] == [job.id]
    told = await call(cluster, f"{job.id}/resume")
    assert (told["status"], told["lifecycle"], told["stop_reason"]) == ("SCHEDULED", "queued", None)
    assert await call(cluster, f"{job.id}/resume", {}) == told


async def test_a_running_job_is_paused_when_its_worker_has_finished_and_goes_on_in_the_same_execution(
    cluster: Cluster,
) -> None:
    job = await deploy(cluster, "k")
    lease = await cluster.start(job.id)
    assert (await call(cluster, f"{job.id}/pause"))["stop_intent"] == "PAUSE"
    assert await cluster.leased.acknowledge_stop(lease)
    assert await cluster.leased.stop(lease)
    told = await shown(cluster, job.id)
    assert (told["status"], told["worker_id"], told["execution_number"]) == ("PAUSED", None, 1)
    await call(cluster, f"{job.id}/resume")
    assert await cluster.leased.complete(await cluster.start(job.id))
    (execution,) = (await cluster.api.get(f"/jobs/{job.id}/history")).json()["executions"]
    assert [attempt["outcome"] for attempt in execution["attempts"]] == ["COMPLETED", "PAUSED"]


async def test_resuming_a_job_that_is_being_paused_lets_it_go_on_with_its_next_attempt(cluster: Cluster) -> None:
    job = await deploy(cluster, "k")
    lease = await cluster.start(job.id)
    await call(cluster, f"{job.id}/pause", {"reason": "a mistake"})
    told = await call(cluster, f"{job.id}/resume")
    assert (told["status"], told["stop_intent"], told["stop_reason"]) == ("STOP_REQUESTED", "NEXT", None)
    assert await cluster.leased.stop(lease)
    assert (await shown(cluster, job.id))["status"] == "SCHEDULED"


async def test_stopping_a_job_that_is_paused_or_being_paused_ends_it(cluster: Cluster) -> None:
    paused, pausing = await deploy(cluster, "a"), await deploy(cluster, "b")
    lease = await cluster.start(pausing.id)
    for job in (paused, pausing):
        await call(cluster, f"{job.id}/pause", {"reason": "maintenance"})
    assert (await call(cluster, f"{paused.id}/stop"))["status"] == "STOPPED"
    told = await call(cluster, f"{pausing.id}/stop")
    assert (told["status"], told["stop_intent"], told["stop_reason"]) == ("STOP_REQUESTED", "STOP", None)
    assert await cluster.leased.stop(lease)
    assert (await shown(cluster, pausing.id))["status"] == "STOPPED"


@pytest.mark.parametrize(
    ("operation", "state", "is_refused"),
    [
        ("cancel", "COMPLETED", False),
        ("pause", "COMPLETED", True),
        ("pause", "STOPPED", True),
        ("pause", "STOP_REQUESTED", True),
        ("resume", "RUNNING", False),
        ("resume", "SCHEDULED", False),
        ("resume", "STOPPED", True),
        ("retry", "COMPLETED", True),
        ("retry", "RUNNING", True),
        ("retry", "SCHEDULED", False),
    ],
)
async def test_what_a_job_is_not_in_the_state_for_is_refused_and_what_it_is_already_changes_nothing(
    cluster: Cluster, operation: str, state: str, is_refused: bool
) -> None:
    job_id = await cluster.job_in_state("RUNNING" if state == "STOP_REQUESTED" else state, "a/x")
    if state == "STOP_REQUESTED":
        await call(cluster, f"{job_id}/stop")
    before = await shown(cluster, job_id)
    answer = await cluster.api.post(f"/jobs/{job_id}/{operation}")
    if is_refused:
        assert error(answer) == (409, "JOB_CONFLICT")
        assert state in answer.json()["error_message"]
    else:
        assert answer.json() == before
    assert await shown(cluster, job_id) == before


@pytest.mark.parametrize("operation", ["cancel", "pause", "resume", "retry"])
async def test_a_job_that_there_is_not_is_not_found(cluster: Cluster, operation: str) -> None:
    assert error(await cluster.api.post(f"/jobs/4711/{operation}")) == (404, "JOB_NOT_FOUND")
    assert error(await cluster.api.post(f"/jobs/x/{operation}")) == (400, "INVALID_JOB_ID")
    assert error(await cluster.api.post(f"/jobs/1/{operation}", json={"delay": 1})) == (400, "INVALID_BODY")


async def test_a_failed_job_is_retried_as_a_new_execution_whose_failures_count_afresh(cluster: Cluster) -> None:
    job = await deploy(cluster, "k", retries=1)
    assert await cluster.leased.fail(await cluster.start(job.id), PASSING)
    await call(cluster, f"{job.id}/retry")  # it waits for its own: sooner
    assert await cluster.leased.fail(await cluster.start(job.id), PASSING)
    told = await shown(cluster, job.id)
    assert (told["status"], told["retry_count"]) == ("FAILED", 1)
    told = await call(cluster, f"{job.id}/retry", {"delay_ms": 3_600_000})
    assert (told["status"], told["lifecycle"], told["retry_count"]) == ("SCHEDULED", "scheduled", 1)
    assert abs(told["scheduled_at_ms"] - told["updated_at_ms"] - 3_600_000) < 1000
    assert (told["execution_number"], told["execution_count"], told["completed_at"]) == (2, 1, None)
    told = await call(cluster, f"{job.id}/retry")
    assert told["lifecycle"] == "queued"
    assert await cluster.leased.fail(await cluster.start(job.id), PASSING)
    told = await shown(cluster, job.id)
    assert (told["status"], told["retry_count"], told["waiting_for"]) == ("SCHEDULED", 2, "retry")


# --- history and statistics


async def test_the_history_tells_each_execution_with_its_times_its_end_and_its_attempts(cluster: Cluster) -> None:
    job_id = await failed(cluster, "k")
    await call(cluster, f"{job_id}/retry")
    assert await cluster.leased.fail(await cluster.start(job_id), PASSING)
    await call(cluster, f"{job_id}/retry")
    assert await cluster.leased.complete(await cluster.start(job_id))
    await deploy(cluster, "k")
    assert (await shown(cluster, job_id))["execution_number"] == 3
    history = (await cluster.api.get(f"/jobs/{job_id}/history")).json()
    assert (history["job_id"], history["total_executions"]) == (job_id, 2)  # the third has not begun
    assert (history["successful_executions"], history["failed_executions"]) == (1, 1)
    second, first = history["executions"]
    assert (second["number"], second["status"], second["error"], second["attempt_count"]) == (2, "completed", None, 2)
    assert [(a["number"], a["outcome"], a["worker_id"]) for a in second["attempts"]] == [
        (2, "COMPLETED", "worker-01"),
        (1, "RETRYING", "worker-01"),
    ]
    assert second["duration_ms"] == second["completed_at_ms"] - second["started_at_ms"] >= 0
    assert (first["number"], first["status"], first["error"]) == (1, "failed", FAILURE.message)
    assert first["error_detail"]["error_code"] == FAILURE.code
    await cluster.start(job_id)
    newest = (await cluster.api.get(f"/jobs/{job_id}/history?limit=1")).json()
    assert newest["total_executions"] == 3
    (third,) = newest["executions"]
    assert (third["number"], third["status"], third["completed_at"], third["duration_ms"]) == (3, "running", None, None)


async def test_the_history_of_a_job_that_has_not_begun_is_empty_and_bad_questions_are_refused(cluster: Cluster) -> None:
    job = await deploy(cluster, "k")
    history = (await cluster.api.get(f"/jobs/{job.id}/history")).json()
    assert (history["total_executions"], history["executions"]) == (0, [])
    assert error(await cluster.api.get("/jobs/4711/history")) == (404, "JOB_NOT_FOUND")
    assert error(await cluster.api.get(f"/jobs/{job.id}/history?limit=0")) == (400, "LIMIT_INVALID")
    assert error(await cluster.api.get(f"/jobs/{job.id}/history?limit=1001")) == (400, "LIMIT_TOO_LARGE")


async def test_statistics_count_jobs_by_the_words_of_the_second_lifecycle(cluster: Cluster) -> None:
    labels = {"product": "my-app", "env": "prd"}
    retried = await failed(cluster, "retried", labels=labels)
    await call(cluster, f"{retried}/retry")
    assert await cluster.leased.fail(await cluster.start(retried), PASSING)
    await call(cluster, f"{retried}/retry")
    assert await cluster.leased.complete(await cluster.start(retried))
    await failed(cluster, "failed", labels=labels)
    for key in ("one", "two"):
        job = await deploy(cluster, key, labels=labels)
        assert await cluster.leased.complete(await cluster.start(job.id))
    await cluster.start((await deploy(cluster, "running", labels=labels)).id)
    later = await deploy(cluster, "later", labels=labels)
    assert await cluster.leased.fail(await cluster.start(later.id), PASSING)
    await call(cluster, f"{(await deploy(cluster, 'paused', labels=labels)).id}/pause")
    await call(cluster, f"{(await deploy(cluster, 'cancelled', labels=labels)).id}/cancel")
    await deploy(cluster, "queued", labels=labels)
    await deploy(cluster, "of another", labels={"product": "other"})
    told = (await cluster.api.get("/jobs/stats?product=my-app&env=prd")).json()
    assert told == {
        "total": 9, "scheduled": 1, "queued": 1, "running": 1, "paused": 1, "completed": 3, "cancelled": 1, "failed": 1,
        "success_rate": 0.75, "completed_first_try": 2, "completed_after_retry": 1, "avg_retry_count": 0.25,
    }  # fmt: skip
    assert (await cluster.api.get("/jobs/stats")).json()["total"] == 10
    nothing = (await cluster.api.get("/jobs/stats?product=none")).json()
    assert (nothing["total"], nothing["success_rate"], nothing["avg_retry_count"]) == (0, None, None)
    assert error(await cluster.api.get("/jobs/stats?status=odd")) == (400, "INVALID_QUERY_PARAMETERS")


# --- filters


async def test_lists_and_operations_on_many_choose_jobs_by_the_same_filters(cluster: Cluster) -> None:
    mine = await deploy(cluster, "a", labels={"product": "my-app", "env": "prd"})
    test = await deploy(cluster, "b", labels={"product": "my-app", "env": "test", "team": "red"})
    other = await deploy(cluster, "c", kind="http", labels={"product": "other"})
    await cluster.register("ethereum/mainnet")
    extraction = await cluster.deploy("ethereum/mainnet")
    async with cluster.db.transaction() as connection:
        await connection.execute("UPDATE jobs SET created_at = created_at - interval '1 day' WHERE id = %s", [mine.id])
        await connection.execute("UPDATE jobs SET recurring = true WHERE id = %s", [test.id])
    noon = datetime.now(UTC) - timedelta(hours=12)
    noon_ms = int(noon.timestamp() * 1000)
    cases: list[tuple[dict[str, Any], set[int]]] = [
        ({"product": "my-app"}, {mine.id, test.id}),
        ({"product": "my-app", "env": "prd"}, {mine.id}),
        ({"product": "my-app", "status": "paused"}, set()),
        ({"env": "test"}, {test.id}),
        ({"namespace": "http"}, {other.id}),
        ({"kind": "noop"}, {mine.id, test.id}),
        ({"dataset_namespace": "ethereum"}, {extraction}),
        ({"dataset": "ethereum/mainnet"}, {extraction}),
        ({"recurring": True}, {test.id}),
        ({"recurring": False, "product": "my-app"}, {mine.id}),
        ({"to": noon_ms}, {mine.id}),
        ({"to": noon.isoformat()}, {mine.id}),
        ({"from": noon_ms, "product": "my-app"}, {test.id}),
        ({"from": noon_ms, "to": noon_ms + 1}, set()),
    ]
    for criteria, expected in cases:
        query = {key: str(value).lower() if isinstance(value, bool) else value for key, value in criteria.items()}
        listed = (await cluster.api.get("/jobs", params=query)).json()["jobs"]
        assert {job["id"] for job in listed} == expected, criteria
        stats = (await cluster.api.get("/jobs/stats", params=query)).json()
        assert stats["total"] == len(expected), criteria
        told = await call(cluster, "pause", criteria | {"dry_run": True})
        assert told["matched"] == len(expected), criteria
    for body, number in (
        ({"labels": {"team": "red", "env": "test"}}, 1),
        ({"job_ids": [mine.id, other.id, 4711]}, 2),
        ({"job_ids": []}, 0),
        ({"status": ["scheduled", "failed"], "product": "my-app"}, 2),
        ({"status": "Running,scheduled"}, 4),
        ({"all": True}, 4),
        ({"status": "all", "all": True}, 4),
    ):
        assert (await call(cluster, "pause", body | {"dry_run": True}))["matched"] == number, body


async def test_a_list_can_pass_over_jobs_by_their_number_too(cluster: Cluster) -> None:
    ids = [(await deploy(cluster, str(number), labels={"product": "p"})).id for number in range(5)]
    for criteria in ({}, {"status": "all"}, {"product": "p"}):
        page = (await cluster.api.get("/jobs", params=criteria | {"limit": 2, "offset": 1})).json()
        assert [job["id"] for job in page["jobs"]] == [ids[3], ids[2]]
        assert page["next_cursor"] == ids[2]
    assert error(await cluster.api.get("/jobs?offset=-1")) == (400, "INVALID_QUERY_PARAMETERS")


@pytest.mark.parametrize(
    "query",
    [
        "kind=a&namespace=b",
        "dataset=a/b&dataset_namespace=c",
        "from=2026-01-01T00:00:00Z&created_after=2026-01-02T00:00:00Z",
        "from=yesterday",
        "to=-5",
        "to=99999999999999999999",
        "recurring=perhaps",
    ],
)
async def test_a_filter_that_means_nothing_is_refused(cluster: Cluster, query: str) -> None:
    assert error(await cluster.api.get(f"/jobs?{query}")) == (400, "INVALID_QUERY_PARAMETERS")


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({}, "all"),
        ({"status": "all"}, "all"),
        ({"status": ["all"], "dry_run": True}, "all"),
        ({"labels": {}}, "all"),
        ({"status": "odd"}, "completed"),
        ({"status": []}, "completed"),
        ({"product": 7}, "product"),
        ({"kind": "a", "namespace": "b"}, "leave one out"),
        ({"from": "yesterday", "product": "p"}, "from"),
        ({"until": 5}, "known are"),
    ],
)
async def test_an_operation_on_nothing_in_particular_or_on_nonsense_is_refused(
    cluster: Cluster, body: dict[str, Any], hint: str
) -> None:
    job = await deploy(cluster, "k")
    for operation in ("cancel", "pause", "resume", "retry", "delete"):
        answer = await cluster.api.post(f"/jobs/{operation}", json=body)
        assert error(answer) == (400, "INVALID_BODY")
        assert hint in answer.json()["error_message"]
    assert (await shown(cluster, job.id))["status"] == "SCHEDULED"


# --- many jobs


async def test_many_jobs_are_paused_resumed_cancelled_retried_and_deleted_by_what_they_have_in_common(
    cluster: Cluster,
) -> None:
    labels = {"product": "my-app"}
    waiting = [(await deploy(cluster, str(number), labels=labels)).id for number in range(3)]
    broken = await failed(cluster, "broken", labels=labels)
    other = await deploy(cluster, "of another", labels={"product": "other"})
    running = await deploy(cluster, "running", labels=labels)
    lease = await cluster.start(running.id)

    told = await call(cluster, "pause", {"product": "my-app", "reason": "maintenance", "dry_run": True})
    assert (counts(told), told["dry_run"]) == ((4, 4, 0), True)
    assert (await shown(cluster, waiting[0]))["status"] == "SCHEDULED"
    told = await call(cluster, "pause", {"product": "my-app", "reason": "maintenance"})
    assert (counts(told), told["dry_run"]) == ((4, 4, 0), False)
    assert {(await shown(cluster, job_id))["stop_reason"] for job_id in [*waiting, running.id]} == {"maintenance"}
    assert await cluster.leased.stop(lease)
    assert counts(await call(cluster, "pause", {"product": "my-app"})) == (4, 0, 4)
    assert counts(await call(cluster, "resume", {"product": "my-app", "status": "paused"})) == (4, 4, 0)
    assert counts(await call(cluster, "cancel", {"product": "my-app", "status": "scheduled", "reason": "r"})) == (
        4,
        4,
        0,
    )
    assert (await shown(cluster, running.id))["stop_reason"] == "r"
    assert counts(await call(cluster, "retry", {"product": "my-app", "delay_ms": 60_000})) == (1, 1, 0)
    assert (await shown(cluster, broken))["lifecycle"] == "scheduled"
    assert counts(await call(cluster, "retry", {"product": "my-app", "status": "cancelled,queued"})) == (5, 4, 1)
    await call(cluster, "cancel", {"product": "my-app"})
    assert counts(await call(cluster, "delete", {"all": True, "status": ["cancelled", "queued"]})) == (6, 5, 1)
    assert [job["id"] for job in (await cluster.api.get("/jobs?status=all")).json()["jobs"]] == [other.id]
