"""The seed on scheduled jobs, from their lifecycle to rescheduling: each of its code blocks put into Python, and each
row of its tables, against a real controller and worker. What becomes of jobs is in test_seed_scheduled_job_outcomes.py.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from ampd.client import ApiError, Instant, JobError
from support.seed_jobs import DAY, HOUR, QUICK_RETRY, Jobs, date_now


class TestJobLifecycle:
    @pytest.mark.parametrize("status", ["scheduled", "queued", "running", "completed", "failed", "cancelled", "paused"])
    async def test_each_state_is_the_status_of_a_job_that_is_in_it(self, jobs: Jobs, status: str) -> None:
        job = await jobs.in_status(status)
        assert job.status == status
        assert (await jobs.client.jobs.get(job.id)).status == status

    async def test_a_job_goes_from_scheduled_over_queued_and_running_to_completed(self, jobs: Jobs) -> None:
        job = await jobs.held(start_at=date_now() + HOUR, worker="worker-*")
        assert job.status == "scheduled"
        await jobs.client.jobs.reschedule(job.id, start_at=date_now())
        running = await jobs.until_status(job.id, "running")
        assert running.completed_at is None
        await jobs.until_held()
        jobs.actions.release()
        done = await jobs.client.jobs.wait(job.id, 30, poll_seconds=0.05)
        assert done.status == "completed"
        states = [event.event_type for event in await jobs.client.jobs.events(job.id)]
        assert states[0] == "SCHEDULED"
        assert states[-2:] == ["RUNNING", "COMPLETED"]

    async def test_failed_is_a_job_after_all_its_retries(self, jobs: Jobs) -> None:
        job = await jobs.create("down", retries=2, retry_policy=QUICK_RETRY)  # type: ignore[arg-type]
        failed = await jobs.client.jobs.wait(job.id, 30, poll_seconds=0.05)
        assert (failed.status, failed.retries, failed.retry_count) == ("failed", 2, 2)
        (execution,) = (await jobs.client.jobs.get_history(job.id)).executions
        assert [attempt.outcome for attempt in execution.attempts] == ["FAILED", "RETRYING", "RETRYING"]


class TestFetchingJobs:
    async def test_gets_a_specific_job(self, jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
        there = await jobs.in_status("scheduled")

        job = await jobs.client.jobs.get(there.id)
        print("Job ID:", job.id)
        print("Status:", job.status)
        print("Scheduled At:", datetime.fromtimestamp(job.scheduled_at / 1000, UTC))
        print("Recurring:", job.recurring)

        assert capsys.readouterr().out == (
            f"Job ID: {there.id}\nStatus: scheduled\nScheduled At: {job.scheduled_at.datetime}\nRecurring: False\n"
        )
        # The payload of a webhook, and the seed, have ids as text.
        assert await jobs.client.jobs.get(str(there.id)) == job

    async def test_lists_all_jobs(self, jobs: Jobs) -> None:
        there = {(await jobs.in_status(status)).id for status in ("cancelled", "scheduled", "completed")}

        found = await jobs.client.jobs.list()

        assert there <= {job.id for job in found}
        assert [job.id for job in found] == sorted((job.id for job in found), reverse=True)

    async def test_lists_with_filters(self, jobs: Jobs) -> None:
        there = [(await jobs.in_status("scheduled")).id for _ in range(2)]
        ended = (await jobs.in_status("cancelled")).id

        scheduled_jobs = await jobs.client.jobs.list(status="scheduled", limit=100, offset=0)

        assert set(there) <= {job.id for job in scheduled_jobs}
        assert ended not in {job.id for job in scheduled_jobs}

    async def test_lists_jobs_by_product(self, jobs: Jobs) -> None:
        mine = await jobs.create()
        await jobs.create(product="another-app")
        await jobs.create(env="dev")

        product_jobs = await jobs.client.jobs.list(product=jobs.product, env="prd")

        assert [job.id for job in product_jobs] == [mine.id]

    async def test_lists_recurring_jobs_only(self, jobs: Jobs) -> None:
        once, again = await jobs.in_status("scheduled"), await jobs.recurring()

        recurring_jobs = await jobs.client.jobs.list(recurring=True)

        found = {job.id for job in recurring_jobs}
        assert again.id in found
        assert once.id not in found
        assert all(job.recurring for job in recurring_jobs)


class TestListOptions:
    @pytest.mark.parametrize("status", ["running", "completed", "failed", "cancelled", "paused"])
    async def test_status_gives_the_jobs_that_are_in_it(self, jobs: Jobs, status: str) -> None:
        there = {each: (await jobs.in_status(each)).id for each in ("running", "completed", "failed", "cancelled")}
        there["paused"] = (await jobs.in_status("paused")).id
        found = await jobs.client.jobs.list(status=status, product=jobs.product)
        assert [job.id for job in found] == [there[status]]

    async def test_status_queued_gives_the_jobs_whose_time_has_come_and_scheduled_all_that_wait(
        self, jobs: Jobs
    ) -> None:
        waits, is_due, ended = [(await jobs.in_status(each)).id for each in ("scheduled", "queued", "cancelled")]

        async def found(status: str) -> list[int]:
            return sorted(job.id for job in await jobs.client.jobs.list(status=status, product=jobs.product))

        assert await found("queued") == [is_due]
        assert await found("cancelled,Queued") == [is_due, ended]
        assert await found("scheduled") == await found("queued,scheduled") == await found("active") == [waits, is_due]

    async def test_status_may_be_several(self, jobs: Jobs) -> None:
        ids = [(await jobs.in_status(each)).id for each in ("completed", "cancelled")]
        await jobs.in_status("scheduled")
        for status in (["completed", "cancelled"], "completed,cancelled"):
            found = await jobs.client.jobs.list(status=status, product=jobs.product)
            assert [job.id for job in found] == ids[::-1]

    async def test_recurring_tells_jobs_with_a_timetable_from_others(self, jobs: Jobs) -> None:
        once, again = await jobs.in_status("scheduled"), await jobs.recurring()
        for recurring, job in ((True, again), (False, once)):
            found = await jobs.client.jobs.list(recurring=recurring, product=jobs.product)
            assert [each.id for each in found] == [job.id]

    async def test_product_and_env_are_labels(self, jobs: Jobs) -> None:
        prd, dev = await jobs.in_status("scheduled"), await jobs.create(env="dev")
        assert (prd.labels, dev.env) == ({"product": jobs.product, "env": "prd"}, "dev")
        for env, job in (("prd", prd), ("dev", dev)):
            assert [each.id for each in await jobs.client.jobs.list(product=jobs.product, env=env)] == [job.id]

    async def test_namespace_is_the_kind(self, jobs: Jobs) -> None:
        job = await jobs.in_status("scheduled")
        assert job.namespace == "http"
        found = await jobs.client.jobs.list(namespace="http", product=jobs.product)
        assert [each.id for each in found] == [job.id]
        assert len(await jobs.client.jobs.list(namespace="extraction", product=jobs.product)) == 0

    async def test_limit_and_offset_cut_out_a_part_and_iterate_gives_all(self, jobs: Jobs) -> None:
        ids = [(await jobs.in_status("scheduled")).id for _ in range(5)][::-1]
        page = await jobs.client.jobs.list(product=jobs.product, limit=2, offset=1)
        assert [job.id for job in page] == ids[1:3]
        assert page.next_cursor == ids[2]
        all_of_them = [job.id async for job in jobs.client.jobs.iterate(product=jobs.product, page_size=2)]
        assert all_of_them == ids

    async def test_from_and_to_are_about_the_creation_as_a_number_or_as_text(self, jobs: Jobs) -> None:
        job = await jobs.in_status("scheduled")
        before, after = job.created_at - 1000, job.created_at + 1000
        for from_, to, count in ((before, after, 1), (after, after + 1, 0), (before - 1, before, 0)):
            texts = (datetime.fromtimestamp(moment / 1000, UTC).isoformat() for moment in (from_, to))
            for window in ((from_, to), tuple(texts)):
                found = await jobs.client.jobs.list(product=jobs.product, from_=window[0], to=window[1])
                assert len(found) == count


class TestJobInformation:
    async def test_a_job_has_the_structure_of_the_seed(self, jobs: Jobs) -> None:
        end = date_now() + 30 * DAY
        schedule = {"every": 7_200_000, "limit": 5, "end_date": end}
        start = date_now()
        created = await jobs.create(schedule=schedule, retries=3)  # type: ignore[arg-type]
        job = await jobs.until(created.id, lambda job: job.result is not None and job.status == "scheduled")
        assert (job.namespace, job.product, job.env) == ("http", jobs.product, "prd")
        assert (job.recurring, job.cron, job.every, job.limit, job.end_date) == (True, None, 7_200_000, 5, end)
        assert job.next_run_at == job.scheduled_at
        assert job.started_at is not None
        assert start <= job.created_at <= job.started_at <= job.updated_at < job.scheduled_at
        assert job.completed_at is None
        assert (job.execution_count, job.retries, job.retry_count, job.last_error) == (1, 3, 0, None)
        assert job.input["url"] == jobs.actions.url("done")
        assert json.loads(job.result["body"]) == {"action": "done"}
        moments = (job.scheduled_at, job.started_at, job.next_run_at, job.created_at, job.updated_at)
        assert all(type(moment) is Instant for moment in moments)

    async def test_what_a_job_does_not_have_is_none(self, jobs: Jobs) -> None:
        job = await jobs.in_status("scheduled")
        optional = (job.started_at, job.completed_at, job.cron, job.every, job.next_run_at, job.limit, job.end_date)
        assert (*optional, job.last_error, job.result) == (None,) * 9
        assert (job.recurring, job.execution_count, job.retries, job.retry_count) == (False, 0, 0, 0)

    async def test_cron_is_shown_as_it_was_given(self, jobs: Jobs) -> None:
        schedule = {"cron": "0 9 * * *", "tz": "America/New_York"}
        job = await jobs.create(schedule=schedule)  # type: ignore[arg-type]
        assert (job.recurring, job.cron, job.tz, job.every) == (True, "0 9 * * *", "America/New_York", None)

    async def test_its_status_tells_result_error_or_that_it_runs(
        self, jobs: Jobs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def check(job_id: int) -> str:
            job = await jobs.client.jobs.get(job_id)
            if job.status == "completed":
                print("Job completed successfully")
                print("Result:", job.result)
            elif job.status == "failed":
                print("Job failed after", job.retry_count, "attempts")
                print("Last error:", job.last_error)
            elif job.status == "running":
                print("Job is currently executing")
            return capsys.readouterr().out

        completed = await jobs.in_status("completed")
        assert await check(completed.id) == f"Job completed successfully\nResult: {completed.result}\n"
        assert completed.result["status"] == 200
        failed = await jobs.in_status("failed")
        assert await check(failed.id) == f"Job failed after 0 attempts\nLast error: {failed.last_error}\n"
        assert isinstance(failed.last_error, JobError)
        assert failed.last_error.code == "HTTP_STATUS_REFUSED"
        assert "400" in failed.last_error
        assert await check((await jobs.in_status("running")).id) == "Job is currently executing\n"


class TestCancellingJobs:
    async def test_cancels_a_single_job_and_returns_it(self, jobs: Jobs) -> None:
        there = await jobs.in_status("scheduled")

        await jobs.client.jobs.cancel(there.id)
        cancelled_job = await jobs.client.jobs.cancel(there.id)

        assert cancelled_job.status == "cancelled"
        assert cancelled_job.completed_at is not None

    async def test_cancels_multiple_jobs_of_a_product(self, jobs: Jobs) -> None:
        ids = [(await jobs.in_status("scheduled")).id for _ in range(3)]
        others = [await jobs.in_status("paused"), await jobs.create(product="another-app", start_at=date_now() + HOUR)]
        tried = await jobs.client.jobs.cancel_many(product=jobs.product, status="scheduled", dry_run=True)
        assert (tried.count, tried.dry_run) == (3, True)

        cancelled = await jobs.client.jobs.cancel_many(product=jobs.product, status="scheduled")

        assert (cancelled.matched, cancelled.changed, cancelled.skipped, cancelled.count) == (3, 3, 0, 3)
        assert {(await jobs.client.jobs.get(job_id)).status for job_id in ids} == {"cancelled"}
        assert [(await jobs.client.jobs.get(job.id)).status for job in others] == ["paused", "scheduled"]

    async def test_nothing_to_choose_by_is_refused(self, jobs: Jobs) -> None:
        there = await jobs.in_status("scheduled")
        with pytest.raises(ApiError) as refused:
            await jobs.client.jobs.cancel_many()
        assert (refused.value.code, refused.value.status) == ("INVALID_BODY", 400)
        assert (await jobs.client.jobs.get(there.id)).status == "scheduled"

    async def test_cancels_with_a_reason(self, jobs: Jobs) -> None:
        there = await jobs.in_status("scheduled")

        await jobs.client.jobs.cancel(there.id, reason="Campaign ended early")

        assert (await jobs.client.jobs.get(there.id)).stop_reason == "Campaign ended early"
        last = (await jobs.client.jobs.events(there.id))[-1]
        assert last.detail is not None
        assert last.detail["reason"] == "Campaign ended early"

    async def test_a_job_that_runs_is_cancelled_when_its_worker_has_finished_what_it_holds(self, jobs: Jobs) -> None:
        running = await jobs.in_status("running")
        assert (await jobs.client.jobs.cancel(running.id)).status in ("running", "cancelled")
        jobs.actions.release()
        ended = await jobs.client.jobs.wait(running.id, 30, poll_seconds=0.05)
        # A call that was made is not taken back: who comes first wins.
        assert ended.status in ("cancelled", "completed")


class TestPausingAndResumingJobs:
    async def test_a_paused_recurring_job_does_not_run_until_resumed(self, jobs: Jobs) -> None:
        there, another = await jobs.recurring(), await jobs.recurring()

        await jobs.client.jobs.pause(there.id)
        job = await jobs.client.jobs.get(there.id)
        assert job.status == "paused"

        jobs.pass_time(HOUR, there.id, another.id)
        await jobs.recurring()  # for a new timetable the controller looks at all of them
        await jobs.until(another.id, lambda job: job.result is not None)
        job = await jobs.client.jobs.get(there.id)
        assert (job.status, job.execution_count, job.started_at) == ("paused", 0, None)

    async def test_resumes_a_paused_job(self, jobs: Jobs) -> None:
        there = await jobs.in_status("paused")

        await jobs.client.jobs.resume(there.id)
        job = await jobs.client.jobs.get(there.id)

        assert job.status == "scheduled"
        assert job.next_run_at is not None
        assert job.next_run_at.datetime > datetime.now(UTC)

    async def test_pauses_all_recurring_jobs_for_maintenance_and_resumes_them(self, jobs: Jobs) -> None:
        recurring = [(await jobs.recurring()).id for _ in range(2)]
        once = (await jobs.in_status("scheduled")).id

        paused = await jobs.client.jobs.pause_many(product=jobs.product, recurring=True)
        assert paused.count == 2
        assert {(await jobs.client.jobs.get(job_id)).status for job_id in recurring} == {"paused"}
        assert (await jobs.client.jobs.get(once)).status == "scheduled"

        resumed = await jobs.client.jobs.resume_many(product=jobs.product, status="paused")
        assert resumed.count == 2
        assert {(await jobs.client.jobs.get(job_id)).status for job_id in recurring} == {"scheduled"}


class TestReschedulingJobs:
    async def test_reschedules_a_job_to_a_new_time(self, jobs: Jobs) -> None:
        there = await jobs.in_status("scheduled")
        in_two_hours = date_now() + 7_200_000

        await jobs.client.jobs.reschedule(there.id, start_at=in_two_hours)

        job = await jobs.client.jobs.get(there.id)
        assert (job.status, job.scheduled_at) == ("scheduled", in_two_hours)

    async def test_changes_the_cron_schedule_of_a_recurring_job(self, jobs: Jobs) -> None:
        schedule = {"cron": "0 9 * * *", "tz": "America/New_York"}
        there = await jobs.create(schedule=schedule)  # type: ignore[arg-type]

        await jobs.client.jobs.reschedule(there.id, cron="0 10 * * *", tz="America/New_York")

        job = await jobs.client.jobs.get(there.id)
        assert (job.cron, job.tz) == ("0 10 * * *", "America/New_York")
        times = (await jobs.client.jobs.next(there.id, count=3)).times
        assert [time.local[11:16] for time in times] == ["10:00"] * 3
        assert job.next_run_at == times[0].at

    async def test_changes_the_interval_of_an_interval_based_job(self, jobs: Jobs) -> None:
        there = await jobs.recurring()
        before = date_now()

        await jobs.client.jobs.reschedule(there.id, every=7_200_000)

        job = await jobs.client.jobs.get(there.id)
        assert job.every == 7_200_000
        first, second = (await jobs.client.jobs.next(there.id, count=2)).times
        assert second.at - first.at == 7_200_000
        assert first.at <= before + 7_200_000 + 60_000

    async def test_a_job_that_has_ended_cannot_be_rescheduled(self, jobs: Jobs) -> None:
        ended = await jobs.in_status("cancelled")
        with pytest.raises(ApiError) as refused:
            await jobs.client.jobs.reschedule(ended.id, start_at=date_now() + HOUR)
        assert (refused.value.code, refused.value.status) == ("JOB_CONFLICT", 409)
