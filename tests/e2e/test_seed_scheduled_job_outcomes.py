"""The seed on scheduled jobs, from the history of their executions to its best practices: each of its code blocks put
into Python, and each row of its tables, against a real controller and worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from ampd.client import Ampd, ApiError, Job, verify_webhook
from support.daemons import wait_for
from support.nodes import on_thread
from support.promises import execute
from support.receivers import Receiver, receiver
from support.seed_jobs import DAY, HOUR, QUICK_RETRY, Jobs, Service, date_now

SECRET = "webhook-secret-key"


async def ran_three_times(jobs: Jobs) -> Job:
    """Return a job whose second execution of three has failed."""
    job = await jobs.create(f"lucky/{date_now()}", schedule={"every": 1000, "limit": 3})
    return await jobs.client.jobs.wait(job.id, 30, poll_seconds=0.05)


class TestMonitoringJobExecution:
    async def test_gets_the_execution_history_of_a_recurring_job(
        self, jobs: Jobs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        job = await ran_three_times(jobs)

        history = await jobs.client.jobs.get_history(job.id, limit=10)
        for execution in history.executions:
            print(f"Run {execution.number}:")
            assert execution.started_at is not None
            print(" Started:", datetime.fromtimestamp(execution.started_at / 1000, UTC))
            print(" Duration:", execution.duration_ms, "ms")
            print(" Status:", execution.status)
            if execution.error:
                print(" Error:", execution.error)

        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if line.startswith("Run")] == ["Run 3:", "Run 2:", "Run 1:"]
        assert [line for line in lines if "Status" in line] == [
            " Status: completed",
            " Status: failed",
            " Status: completed",
        ]
        (error,) = (line for line in lines if line.startswith(" Error:"))
        assert "400" in error

    async def test_the_history_has_the_structure_of_the_seed(self, jobs: Jobs) -> None:
        job = await ran_three_times(jobs)
        history = await jobs.client.jobs.get_history(job.id, limit=2)
        assert (history.job_id, history.total_executions) == (job.id, 3)
        assert (history.successful_executions, history.failed_executions) == (2, 1)
        third, second = history.executions
        assert (third.number, third.status, third.error) == (3, "completed", None)
        assert json.loads(third.result["body"]) == {"action": "lucky"}
        assert (second.number, second.status, second.result) == (2, "failed", None)
        assert second.error is not None
        assert second.error.code == "HTTP_STATUS_REFUSED"
        for execution in (third, second):
            assert execution.started_at is not None
            assert execution.completed_at is not None
            assert execution.duration_ms == execution.completed_at - execution.started_at >= 0

    async def test_an_execution_that_goes_on_has_neither_end_nor_duration(self, jobs: Jobs) -> None:
        job = await jobs.in_status("running")
        (execution,) = (await jobs.client.jobs.get_history(job.id)).executions
        assert (execution.status, execution.completed_at, execution.duration_ms) == ("running", None, None)
        assert execution.started_at == job.started_at

    async def test_gets_the_statistics_of_a_product(self, jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
        for status in ("scheduled", "scheduled", "running", "completed", "completed", "completed", "failed"):
            await jobs.in_status(status)
        await jobs.create(env="dev")

        stats = await jobs.client.jobs.get_stats(product=jobs.product, env="prd")
        print("Total jobs:", stats.total)
        print("Scheduled:", stats.scheduled)
        print("Running:", stats.running)
        print("Completed:", stats.completed)
        print("Failed:", stats.failed)
        print("Success rate:", stats.success_rate)

        assert capsys.readouterr().out == (
            "Total jobs: 7\nScheduled: 2\nRunning: 1\nCompleted: 3\nFailed: 1\nSuccess rate: 0.75\n"
        )

    async def test_statistics_count_every_status_and_what_was_tried_again(self, jobs: Jobs) -> None:
        for status in ("queued", "paused", "cancelled", "completed"):
            await jobs.in_status(status)
        failed = await jobs.create("down", retries=1, retry_policy=QUICK_RETRY)
        await jobs.client.jobs.wait(failed.id, 30, poll_seconds=0.05)
        stats = await jobs.client.jobs.get_stats(product=jobs.product)
        assert (stats.queued, stats.paused, stats.cancelled) == (1, 1, 1)
        assert (stats.success_rate, stats.avg_retry_count) == (0.5, 0.5)
        assert (stats.completed_first_try, stats.completed_after_retry) == (1, 0)


class TestRetryingFailedJobs:
    async def test_retries_a_failed_job_immediately(self, jobs: Jobs) -> None:
        failed = await jobs.in_status("failed")

        job = await jobs.client.jobs.retry(failed.id)

        assert job.status in ("queued", "running", "failed")
        again = await jobs.until(failed.id, lambda job: job.execution_number == 2 and job.is_terminal)
        assert again.status == "failed"
        assert (await jobs.client.jobs.get_history(failed.id)).failed_executions == 2

    async def test_retries_with_a_delay(self, jobs: Jobs) -> None:
        failed = await jobs.in_status("failed")
        before = date_now()

        job = await jobs.client.jobs.retry(failed.id, delay=60000)

        assert job.status == "scheduled"
        assert before + 59_999 <= job.scheduled_at <= date_now() + 60_000

    async def test_retries_all_failed_jobs_from_today(self, jobs: Jobs) -> None:
        ids = [(await jobs.in_status("failed")).id for _ in range(3)]
        execute(jobs.database_url, "UPDATE jobs SET created_at = created_at - interval '2 days' WHERE id = %s", ids[0])
        completed = await jobs.in_status("completed")
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)

        retried = await jobs.client.jobs.retry_many(
            status="failed", from_=int(midnight.timestamp() * 1000), product=jobs.product
        )

        assert retried.count == 2
        for job_id in ids[1:]:
            await jobs.until(job_id, lambda job: job.execution_number == 2 and job.is_terminal)
        assert (await jobs.client.jobs.get(ids[0])).execution_number == 1
        assert (await jobs.client.jobs.get(completed.id)).execution_number == 1

    async def test_a_job_that_completed_is_not_retried(self, jobs: Jobs) -> None:
        completed = await jobs.in_status("completed")
        with pytest.raises(ApiError) as refused:
            await jobs.client.jobs.retry(completed.id)
        assert refused.value.code == "JOB_CONFLICT"


class TestDeletingJobs:
    async def test_deletes_a_specific_job(self, jobs: Jobs) -> None:
        there = await jobs.in_status("completed")

        await jobs.client.jobs.delete(there.id)

        with pytest.raises(ApiError) as missing:
            await jobs.client.jobs.get(there.id)
        assert missing.value.code == "JOB_NOT_FOUND"

    async def test_deletes_completed_jobs_that_are_older_than_30_days(self, jobs: Jobs) -> None:
        ids = [(await jobs.in_status(status)).id for status in ("completed", "completed", "cancelled")]
        _made_long_ago(jobs, 31, ids[0], ids[2])

        deleted = await jobs.client.jobs.delete_many(
            status="completed", to=date_now() - 30 * 24 * 60 * 60 * 1000, product=jobs.product
        )

        assert deleted.count == 1
        assert [job.id for job in await jobs.client.jobs.list(product=jobs.product)] == [ids[2], ids[1]]

    async def test_a_job_that_has_not_ended_is_not_deleted(self, jobs: Jobs) -> None:
        there = await jobs.in_status("scheduled")
        with pytest.raises(ApiError) as refused:
            await jobs.client.jobs.delete(there.id)
        assert refused.value.code == "JOB_CONFLICT"
        result = await jobs.client.jobs.delete_many(status="scheduled", product=jobs.product)
        assert (result.count, result.skipped) == (0, 1)


def _made_long_ago(jobs: Jobs, days: int, *ids: int) -> None:
    statement = "UPDATE jobs SET created_at = created_at - make_interval(days => %s) WHERE id = ANY (%s)"
    execute(jobs.database_url, statement, days, list(ids))


# What is told of which job, with which status. Each attempt starts; a wait for a retry is no event.
EVENTS = {
    "job.scheduled": ("scheduled", ["completed", "failed", "cancelled", "resumed"]),
    "job.started": ("running", ["completed", "failed", "failed"]),
    "job.completed": ("completed", ["completed"]),
    "job.failed": ("failed", ["failed"]),
    "job.cancelled": ("cancelled", ["cancelled"]),
    "job.paused": ("paused", ["resumed"]),
    "job.resumed": ("scheduled", ["resumed"]),
}


@dataclass(frozen=True)
class Told:
    """What a receiver was told of four jobs."""

    of: dict[str, Job]
    received: Receiver

    def messages(self, event: str) -> list[dict[str, Any]]:
        return [each.message for each in self.received.received if each.event == event]


@pytest.fixture(scope="module")
def told(service: Service) -> Iterator[Told]:
    """Each event has happened to a job, and a receiver was told of all of them."""
    with on_thread(receiver(SECRET.encode())) as there, Ampd(service.cluster.admin_url) as client:  # type: ignore[arg-type,misc]
        assert isinstance(there, Receiver)
        webhook = client.webhooks.create(there.url, secret=SECRET, filters={"products": ["told"]})

        def create(action: str, **options: Any) -> Job:
            request = {"url": service.actions.url(action)}
            return client.jobs.create("http", request, product="told", env="prd", **options)

        of = {
            "completed": create("done"),
            "failed": create("down", retries=1, retry_policy=QUICK_RETRY),
            "cancelled": create("done", start_at=date_now() + HOUR),
            "resumed": create("done", schedule={"cron": "@daily"}),
        }
        client.jobs.cancel(of["cancelled"].id, reason="Campaign ended early")
        client.jobs.pause(of["resumed"].id)
        client.jobs.resume(of["resumed"].id)
        for name in ("completed", "failed"):
            client.jobs.wait(of[name].id, 30, poll_seconds=0.05)
        wait_for("all messages", lambda: len(there.received) >= sum(len(names) for _, names in EVENTS.values()))
        yield Told(of, there)
        client.webhooks.delete(webhook.id)


class TestJobEventsAndWebhooks:
    async def test_a_webhook_is_told_of_the_events_that_it_wants(self, jobs: Jobs) -> None:
        async with receiver(SECRET.encode()) as there:
            webhook = await jobs.client.jobs.set_webhook(
                url=there.url, events=["job.completed", "job.failed"], secret="webhook-secret-key"
            )
            assert webhook.events == ("job.completed", "job.failed")
            done, failed = await jobs.in_status("completed"), await jobs.in_status("failed")
            await there.until(lambda: {done.id, failed.id} <= {each.job_id for each in there.received})
            await jobs.client.webhooks.delete(webhook.id)
        assert there.events(done.id) == ["job.completed"]
        assert there.events(failed.id) == ["job.failed"]
        first = there.received[0]
        assert verify_webhook(first.body, first.headers, "webhook-secret-key") == first.message

    @pytest.mark.parametrize("event", EVENTS)
    def test_each_event_is_told_of_the_job_that_it_happened_to(self, told: Told, event: str) -> None:
        status, names = EVENTS[event]
        messages = told.messages(event)
        assert sorted(message["job"]["id"] for message in messages) == sorted(str(told.of[name].id) for name in names)
        assert {message["job"]["status"] for message in messages} == {status}

    def test_nothing_else_is_told(self, told: Told) -> None:
        assert {each.event for each in told.received.received} == set(EVENTS)
        assert told.received.refused == []

    @pytest.mark.parametrize("event", EVENTS)
    def test_the_payload_has_the_structure_of_the_seed(self, told: Told, event: str) -> None:
        for message in told.messages(event):
            job = message["job"]
            assert message["event"] == event
            assert abs(message["timestamp"] - date_now()) < DAY
            texts = {name: type(job[name]) for name in ("id", "status", "namespace", "product", "env")}
            assert set(texts.values()) == {str}
            assert (job["namespace"], job["product"], job["env"]) == ("http", "told", "prd")
            assert abs(job["scheduled_at"] - date_now()) < 2 * DAY
            assert isinstance(job["execution_count"], int)
            assert ("error" in job) == (event == "job.failed")
        if event == "job.failed":
            assert "503" in told.messages(event)[0]["job"]["error"]


class TestBestPractices:
    async def test_the_id_of_a_new_job_can_be_stored_with_its_context(self, jobs: Jobs) -> None:
        saved: list[dict[str, Any]] = []

        job = await jobs.client.jobs.create("http", {"url": jobs.actions.url("done")}, product=jobs.product)
        saved.append({"job_id": job.id, "purpose": "welcome_email", "user_id": 7, "created_at": date_now()})

        assert (await jobs.client.jobs.get(json.loads(json.dumps(saved))[0]["job_id"])).id == job.id

    async def test_a_critical_failure_can_be_told_from_its_job(self, jobs: Jobs) -> None:
        failed = await jobs.in_status("failed")
        alerts: list[dict[str, str]] = []

        job = await jobs.client.jobs.get(failed.id)
        if job.status == "failed":
            alerts.append({"message": f"Critical job {job.id} failed: {job.last_error}", "severity": "high"})

        (alert,) = alerts
        assert alert["message"].startswith(f"Critical job {failed.id} failed: ")
        assert "400" in alert["message"]

    async def test_cleans_up_old_jobs_that_have_ended_in_whatever_way(self, jobs: Jobs) -> None:
        ids = [(await jobs.in_status(status)).id for status in ("completed", "cancelled", "failed", "scheduled")]
        _made_long_ago(jobs, 91, *ids)
        young = await jobs.in_status("completed")

        cleaned = await jobs.client.jobs.delete_many(
            status=["completed", "cancelled", "failed"], to=date_now() - 90 * 24 * 60 * 60 * 1000, product=jobs.product
        )

        assert cleaned.count == 3
        assert [job.id for job in await jobs.client.jobs.list(product=jobs.product)] == [young.id, ids[3]]

    async def test_pauses_all_jobs_for_maintenance_and_resumes_them(self, jobs: Jobs) -> None:
        there = [await jobs.in_status(status) for status in ("scheduled", "queued", "completed")]
        there.append(await jobs.recurring())
        before = [job.status for job in there]

        await jobs.client.jobs.pause_many(product=jobs.product)
        # ... perform maintenance ...
        paused = [(await jobs.client.jobs.get(job.id)).status for job in there]
        assert paused == ["paused", "paused", "completed", "paused"]
        resumed = await jobs.client.jobs.resume_many(product=jobs.product, status="paused")

        assert resumed.count == 3
        after = [(await jobs.client.jobs.get(job.id)).status for job in there]
        # Resumed is due now, but for a job with a timetable; nobody runs the queued one.
        assert after[1:] == before[1:]
        assert after[0] in ("queued", "running", "completed")
