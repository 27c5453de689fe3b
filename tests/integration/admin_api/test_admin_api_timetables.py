"""Schedules over HTTP: given with a deploy or a job, shown, changed, previewed."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest
from admin_api_cluster import Cluster, error

from ampd.client import Ampd, AsyncAmpd, ScheduleOptions
from ampd.jobs import fire_due_jobs
from support.ampctl import run

DEPLOY = "/datasets/{}/versions/latest/deploy"
HOUR_MS = 3_600_000
HOURLY: dict[str, Any] = {"every": HOUR_MS}


async def job_of(cluster: Cluster, job_id: int) -> dict[str, Any]:
    told: dict[str, Any] = (await cluster.api.get(f"/jobs/{job_id}")).json()
    return told


async def create(cluster: Cluster, schedule: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    body = {"kind": "compaction", "input": {"dataset": "a/b"}} | changes
    answer = await cluster.api.post("/jobs", json=body if schedule is None else body | {"schedule": schedule})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture(autouse=True)
async def dataset(cluster: Cluster) -> None:
    await cluster.register("a/b")


async def test_a_deploy_with_a_timetable_is_shown_with_it_and_asked_for_again_is_the_same_job(cluster: Cluster) -> None:
    schedule = {"cron": "0 * * * *", "tz": "America/New_York", "limit": 3, "end_date": "2100-01-01T00:00:00Z"}
    job_id = await cluster.deploy("a/b", end_block="latest", schedule=schedule)
    job = await job_of(cluster, job_id)
    assert (job["status"], job["lifecycle"], job["recurring"]) == ("SCHEDULED", "scheduled", True)
    assert (job["cron"], job["tz"], job["every_ms"]) == ("0 * * * *", "America/New_York", None)
    assert (job["limit"], job["end_date"], job["end_date_ms"]) == (3, "2100-01-01T00:00:00Z", 4_102_444_800_000)
    assert job["next_run_at"].endswith(":00:00Z")
    assert job["next_run_at"] == job["run_at"] == job["scheduled_at"]
    assert (job["execution_count"], job["started_at"]) == (0, None)
    assert job["schedule"] == schedule | {"end_date": 4_102_444_800_000}
    assert await cluster.deploy("a/b", end_block="latest", schedule=job["schedule"]) == job_id
    other = await cluster.api.post(DEPLOY.format("a/b"), json={"end_block": "latest", "schedule": {"cron": "@daily"}})
    assert error(other) == (409, "ACTIVE_JOB_CONFLICT")
    assert error(await cluster.api.post(DEPLOY.format("a/b"), json={"end_block": "latest"}))[0] == 409


async def test_a_job_of_any_kind_may_have_a_timetable_or_a_time(cluster: Cluster) -> None:
    recurring = await create(cluster, HOURLY)
    assert (recurring["recurring"], recurring["every_ms"]) == (True, HOUR_MS)
    later = await create(cluster, {"start_at": "2100-01-01T00:00:00Z"})
    assert (later["recurring"], later["run_at"], later["next_run_at"]) == (False, "2100-01-01T00:00:00Z", None)
    assert (await create(cluster, None, start_at="2100-01-01T00:00:00Z"))["run_at"] == "2100-01-01T00:00:00Z"
    assert [job["id"] for job in (await cluster.api.get("/jobs?recurring=true")).json()["jobs"]] == [recurring["id"]]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"cron": "61 * * * *"}, "cron: '61 * * * *': cannot read the minute field"),
        ({"cron": "0 0 * * *", "tz": "Nowhere"}, "tz: there is no time zone 'Nowhere'"),
        ({"every": 5}, "every: want a whole number of milliseconds from 1000"),
        ({"every": 5000, "end_date": 5}, "end_date: no time of the schedule comes before it"),
        ({"limit": 3}, "limit: goes with cron or every"),
        ({}, "start_at: give start_at, cron or every"),
    ],
)
async def test_a_wrong_schedule_is_refused_with_the_name_of_its_field(
    cluster: Cluster, schedule: dict[str, Any], message: str
) -> None:
    deployed = await cluster.api.post(DEPLOY.format("a/b"), json={"schedule": schedule})
    created = await cluster.api.post(
        "/jobs", json={"kind": "compaction", "input": {"dataset": "a/b"}, "schedule": schedule}
    )
    for answer in (deployed, created):
        assert error(answer) == (400, "INVALID_SCHEDULE")
        assert answer.json()["error_message"].startswith(message)
    if "end_date" not in schedule:
        assert error(await cluster.api.post("/schedules/preview", json={"schedule": schedule}))[0] == 400
    assert (await cluster.api.get("/jobs?status=all")).json()["jobs"] == []


async def test_a_misspelled_field_of_a_schedule_is_refused(cluster: Cluster) -> None:
    answer = await cluster.api.post(DEPLOY.format("a/b"), json={"schedule": {"every": 5000, "timezone": "UTC"}})
    assert error(answer) == (400, "INVALID_BODY")
    assert "unknown 'timezone'" in answer.json()["error_message"]


async def test_a_reschedule_changes_what_it_names_and_keeps_the_rest(cluster: Cluster) -> None:
    job = await create(cluster, HOURLY | {"limit": 4, "overlap": "queue"})
    path = f"/jobs/{job['id']}/reschedule"
    told = (await cluster.api.post(path, json={"cron": "0 10 * * *", "tz": "America/New_York"})).json()
    assert (told["cron"], told["tz"], told["every_ms"], told["limit"]) == ("0 10 * * *", "America/New_York", None, 4)
    assert told["schedule"]["overlap"] == "queue"
    told = (await cluster.api.post(path, json={"every": 2 * HOUR_MS, "limit": None})).json()
    assert (told["cron"], told["every_ms"], told["limit"]) == (None, 2 * HOUR_MS, None)
    assert told["next_run_at_ms"] - told["updated_at_ms"] in range(2 * HOUR_MS - 2, 2 * HOUR_MS + 1)
    assert error(await cluster.api.post(path, json={"tz": "UTC"})) == (400, "INVALID_SCHEDULE")
    assert error(await cluster.api.post(path, json={})) == (400, "INVALID_SCHEDULE")
    assert error(await cluster.api.post("/jobs/999/reschedule", json=HOURLY)) == (404, "JOB_NOT_FOUND")
    await cluster.api.post(f"/jobs/{job['id']}/pause")
    assert (await cluster.api.post(path, json=HOURLY)).json()["status"] == "PAUSED"
    await cluster.api.post(f"/jobs/{job['id']}/cancel")
    assert error(await cluster.api.post(path, json=HOURLY)) == (409, "JOB_CONFLICT")


async def test_a_job_that_runs_once_can_be_put_off_in_milliseconds(cluster: Cluster) -> None:
    job = await create(cluster, {"start_at": "2100-01-01T00:00:00Z"})
    path = f"/jobs/{job['id']}/reschedule"
    told = (await cluster.api.post(path, json={"start_at": 4_102_448_400_000})).json()
    assert (told["run_at"], told["scheduled_at_ms"]) == ("2100-01-01T01:00:00Z", 4_102_448_400_000)
    assert error(await cluster.api.post(path, json=HOURLY)) == (400, "INVALID_SCHEDULE")


async def test_the_next_times_of_a_job_are_told_in_utc_and_in_its_time_zone(cluster: Cluster) -> None:
    job = await create(cluster, {"cron": "0 9 * * *", "tz": "Asia/Tokyo", "limit": 2})
    told = (await cluster.api.get(f"/jobs/{job['id']}/next?count=5")).json()
    assert told["tz"] == "Asia/Tokyo"
    assert len(told["times"]) == 2
    assert told["times"][0]["at"] == job["next_run_at"]
    assert told["times"][0]["at_ms"] == job["next_run_at_ms"]
    assert told["times"][0]["local"].endswith("T09:00:00+09:00")
    await cluster.api.post(f"/jobs/{job['id']}/pause")
    assert (await cluster.api.get(f"/jobs/{job['id']}/next?count=5")).json() == told
    await cluster.api.post(f"/jobs/{job['id']}/cancel")
    assert (await cluster.api.get(f"/jobs/{job['id']}/next")).json()["times"] == []
    once = await create(cluster, {"start_at": "2100-01-01T00:00:00Z"})
    assert [each["at"] for each in (await cluster.api.get(f"/jobs/{once['id']}/next")).json()["times"]] == [
        "2100-01-01T00:00:00Z"
    ]
    assert error(await cluster.api.get(f"/jobs/{job['id']}/next?count=101"))[0] == 400
    assert error(await cluster.api.get("/jobs/999/next")) == (404, "JOB_NOT_FOUND")


async def test_a_preview_shows_what_becomes_of_times_where_clocks_change(cluster: Cluster) -> None:
    body = {"schedule": {"cron": "30 2 * * *", "tz": "America/New_York"}, "count": 3, "from": "2026-03-07T00:00:00Z"}
    told = (await cluster.api.post("/schedules/preview", json=body)).json()
    assert [each["local"] for each in told["times"]] == [
        "2026-03-07T02:30:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]
    assert [each["at"] for each in told["times"]][1] == "2026-03-08T07:00:00Z"
    assert told["tzdata"].startswith("20")
    interval = {"schedule": {"every": 90_000}, "count": 2, "from": 1_772_618_400_000}
    told = (await cluster.api.post("/schedules/preview", json=interval)).json()
    assert [each["at"] for each in told["times"]] == ["2026-03-04T10:00:00Z", "2026-03-04T10:01:30Z"]
    gone = {"schedule": {"every": 5000, "end_date": "2026-01-01T00:00:00Z"}, "from": "2026-02-01T00:00:00Z"}
    assert (await cluster.api.post("/schedules/preview", json=gone)).json()["times"] == []
    now = (await cluster.api.post("/schedules/preview", json={"schedule": {"cron": "* * * * *"}})).json()
    assert len(now["times"]) == 10


async def test_the_executions_of_a_timetable_are_its_history(cluster: Cluster) -> None:
    job = await create(cluster, HOURLY)
    await fire_due_jobs(cluster.db, actor="timetable")
    running = await job_of(cluster, job["id"])
    assert (running["lifecycle"], running["execution_count"]) == ("queued", 1)
    assert await cluster.leased.complete(await cluster.start(job["id"]))
    history = (await cluster.api.get(f"/jobs/{job['id']}/history")).json()
    assert (history["total_executions"], history["successful_executions"]) == (1, 1)
    assert [each["status"] for each in history["executions"]] == ["completed"]
    assert (await job_of(cluster, job["id"]))["next_run_at"] is not None


async def test_the_clients_and_ampctl_deploy_with_a_timetable(
    cluster: Cluster, admin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule: ScheduleOptions = {
        "cron": "0 * * * *",
        "tz": "Europe/Berlin",
        "start_at": datetime(2100, 1, 1, tzinfo=UTC),
        "limit": 5,
    }
    with Ampd(admin_url) as sync:
        job_id = sync.datasets.deploy("a/b", end_block="latest", schedule=schedule)
    async with AsyncAmpd(admin_url) as client:
        assert await client.datasets.deploy("a/b", end_block="latest", schedule=schedule) == job_id

    def ampctl(command: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run([*shlex.split(command), "--admin-url", admin_url]) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    deploy = "dataset deploy a/b --end-block latest"
    same = f"{deploy} --cron '0 * * * *' --tz Europe/Berlin --start-at 2100-01-01 --limit 5 --json"
    assert json.loads(ampctl(same)) == {"job_id": job_id}
    assert "different options" in ampctl(f"{deploy} --every 1h30m", code=1)
    assert "give either cron or every" in ampctl(f"{deploy} --every 5s --cron @daily", code=1)
    assert "want 90s, 15m" in ampctl(f"{deploy} --every sometimes", code=2)
    await cluster.register("c/d")
    options = (
        "--every 1h30m --end-date 2100-01-01T00:00:00 --overlap queue --catch-up skip --pause-on-failure --retries 2"
    )
    other = json.loads(ampctl(f"dataset deploy c/d {options} --json"))["job_id"]
    assert (await job_of(cluster, other))["schedule"] == {
        "every": 5_400_000,
        "end_date": 4_102_444_800_000,
        "overlap": "queue",
        "catch_up": "skip",
        "pause_on_failure": True,
    }
