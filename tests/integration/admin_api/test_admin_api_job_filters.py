"""The filters of the job list: over HTTP, through both Python clients, and by ampctl."""

from __future__ import annotations

import asyncio
import json
import random
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from admin_api_cluster import Cluster, error

from ampd.client import Ampd, ApiError, AsyncAmpd
from ampd.jobs import Deployment
from support.ampctl import run

ALL: Final = ("n2", "n1", "e3", "e2", "e1")  # the newest first


def day(number: int) -> datetime:
    return datetime(2026, 3, number, tzinfo=UTC)


@dataclass(frozen=True)
class Filter:
    """What is asked for, in the three ways to ask; and who fits, the newest first."""

    query: str
    fits: tuple[str, ...]
    options: str
    client: dict[str, Any] = field(default_factory=dict)


FILTERS: Final = [
    Filter("", ALL, ""),
    Filter("kind=extraction", ("e3", "e2", "e1"), "--kind extraction", {"kind": "extraction"}),
    Filter("kind=http", ("n2", "n1"), "--kind http", {"kind": "http"}),
    Filter("kind=Http", (), "--kind Http", {"kind": "Http"}),
    Filter("dataset=a/x", ("e1",), "--dataset a/x", {"dataset": "a/x"}),
    Filter("dataset=b/x", ("e3",), "--dataset b/x", {"dataset": "b/x"}),
    Filter("dataset=a/nothing", (), "--dataset a/nothing", {"dataset": "a/nothing"}),
    Filter("worker_id=worker-01", ("n2", "e3", "e1"), "--worker worker-01", {"worker_id": "worker-01"}),
    Filter("worker_id=worker-0", (), "--worker worker-0", {"worker_id": "worker-0"}),
    Filter("label=env=prod", ("n1",), "--label env=prod", {"labels": {"env": "prod"}}),
    Filter("label=product=p", ("n2", "n1"), "--label product=p", {"labels": {"product": "p"}}),
    Filter(
        "label=product=p&label=env=dev",
        ("n2",),
        "--label product=p --label env=dev",
        {"labels": {"product": "p", "env": "dev"}},
    ),
    Filter("label=formula=a%3Db", ("n1",), "--label formula=a=b", {"labels": {"formula": "a=b"}}),
    Filter("label=empty=", ("n2",), "--label empty=", {"labels": {"empty": ""}}),
    Filter("label=product=", (), "--label product=", {"labels": {"product": ""}}),
    Filter("label=env=pro", (), "--label env=pro", {"labels": {"env": "pro"}}),
    Filter(
        "created_after=2026-03-03T00:00:00Z",
        ("n2", "n1", "e3"),
        "--created-after 2026-03-03T00:00:00Z",
        {"created_after": day(3)},
    ),
    Filter(
        "created_before=2026-03-03T00:00:00Z",
        ("e2", "e1"),
        "--created-before 2026-03-03T00:00:00Z",
        {"created_before": day(3)},
    ),
    Filter(
        "created_after=2026-03-02T00:00:00Z&created_before=2026-03-04T00:00:00Z",
        ("e3", "e2"),
        "--created-after 2026-03-02 --created-before 2026-03-04",
        {"created_after": day(2), "created_before": day(4)},
    ),
    Filter(
        "created_after=2026-03-03T01:30:00%2B01:30",
        ("n2", "n1", "e3"),
        "--created-after 2026-03-03T01:30:00+01:30",
        {"created_after": datetime.fromisoformat("2026-03-03T01:30:00+01:30")},
    ),
    Filter(
        "created_after=2026-03-02T23:59:59.999999Z&created_before=2026-03-03T00:00:00.000001Z",
        ("e3",),
        "--created-after 2026-03-02T23:59:59.999999 --created-before 2026-03-03T00:00:00.000001",
        {
            "created_after": day(2).replace(hour=23, minute=59, second=59, microsecond=999999),
            "created_before": day(3).replace(microsecond=1),
        },
    ),
    Filter(
        "kind=extraction&worker_id=worker-01&created_after=2026-03-02T00:00:00Z",
        ("e3",),
        "--kind extraction --worker worker-01 --created-after 2026-03-02",
        {"kind": "extraction", "worker_id": "worker-01", "created_after": day(2)},
    ),
    Filter(
        "kind=http&dataset=a/x",
        (),
        "--kind http --dataset a/x",
        {"kind": "http", "dataset": "a/x"},
    ),
    Filter(
        "kind=http&label=product=p&worker_id=worker-01&created_before=2026-03-06T00:00:00Z",
        ("n2",),
        "--kind http --label product=p --worker worker-01 --created-before 2026-03-06",
        {"kind": "http", "labels": {"product": "p"}, "worker_id": "worker-01", "created_before": day(6)},
    ),
]
STATES: Final = {"all": ALL, "active": ("n1", "e2", "e1"), "completed,stopped": ("n2", "e3")}


@pytest.fixture
async def jobs(cluster: Cluster) -> AsyncIterator[dict[str, int]]:
    """A running, a waiting and a stopped extraction, and a waiting and a completed job of another kind; a day apart."""
    ids = {
        "e1": await cluster.job_in_state("RUNNING", "a/x"),
        "e2": await cluster.job_in_state("SCHEDULED", "a/y"),
        "e3": await cluster.job_in_state("STOPPED", "b/x"),
        "n1": await _other(cluster, "n1", {"product": "p", "env": "prod", "formula": "a=b"}),
        "n2": await _other(cluster, "n2", {"product": "p", "env": "dev", "empty": ""}),
    }
    lease = await cluster.start(ids["n2"])
    assert await cluster.leased.complete(lease)
    for number, job_id in enumerate(sorted(ids.values()), start=1):
        age = "UPDATE jobs SET created_at = %(day)s WHERE id = %(id)s"
        await cluster.db.execute(age, {"day": day(number), "id": job_id})
    waiting = [ids["e2"], ids["n1"]]
    unassign = "UPDATE jobs SET worker_id = NULL, worker_incarnation = NULL WHERE id = ANY (%(ids)s)"
    await cluster.db.execute(unassign, {"ids": waiting})
    yield ids


async def _other(cluster: Cluster, key: str, labels: dict[str, str]) -> int:
    deployment = Deployment("http", key, {"url": "http://127.0.0.1:1"}, labels=labels)
    return (await cluster.services.jobs.deploy(deployment, actor="test")).id


def _names(jobs: dict[str, int], ids: list[int]) -> tuple[str, ...]:
    by_id = {job_id: name for name, job_id in jobs.items()}
    return tuple(by_id[job_id] for job_id in ids)


async def test_each_filter_over_http_gives_the_jobs_that_fit_and_no_others(
    cluster: Cluster, jobs: dict[str, int]
) -> None:
    for wanted in FILTERS:
        for status, in_state in STATES.items():
            answer = await cluster.api.get(f"/jobs?status={status}&{wanted.query}")
            assert answer.status_code == 200, f"{wanted.query}: {answer.text}"
            found = _names(jobs, [job["id"] for job in answer.json()["jobs"]])
            assert found == tuple(name for name in wanted.fits if name in in_state), (status, wanted.query)


async def test_both_clients_filter_as_the_admin_api_does(
    cluster: Cluster, jobs: dict[str, int], admin_url: str
) -> None:
    with Ampd(admin_url) as sync:
        async with AsyncAmpd(admin_url) as client:
            for wanted in FILTERS:
                page = sync.jobs.list(status="all", **wanted.client)
                assert _names(jobs, [job.id for job in page.jobs]) == wanted.fits, wanted.query
                assert await client.jobs.list(status="all", **wanted.client) == page
                assert [job.id for job in sync.jobs.iterate(status="all", page_size=1, **wanted.client)] == [
                    job.id for job in page.jobs
                ]
                assert [job async for job in client.jobs.iterate(status="all", page_size=1, **wanted.client)] == [
                    *page.jobs
                ]


async def test_ampctl_filters_as_the_admin_api_does(
    cluster: Cluster, jobs: dict[str, int], admin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for wanted in FILTERS:
        command = f"job list --status all {wanted.options} --json --admin-url {admin_url}"
        assert run(shlex.split(command)) == 0, capsys.readouterr()
        listed = json.loads(capsys.readouterr().out)["jobs"]
        assert _names(jobs, [job["id"] for job in listed]) == wanted.fits, command


async def test_the_table_of_a_filtered_list_shows_these_jobs_and_where_it_goes_on(
    cluster: Cluster, jobs: dict[str, int], admin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(shlex.split(f"job ls -s all --kind http -l 1 --admin-url {admin_url}")) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Jobs:\n  {jobs['n2']} - COMPLETED (worker-01)\n")
    assert text.endswith(f"\nNext cursor: {jobs['n2']}\n")
    assert run(shlex.split(f"job ls -s all --kind http -l 1 -a {jobs['n2']} --admin-url {admin_url}")) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Jobs:\n  {jobs['n1']} - SCHEDULED")
    assert "Next cursor" not in text
    assert run(shlex.split(f"job ls -s all --kind nothing --admin-url {admin_url}")) == 0
    assert capsys.readouterr().out == "No jobs found\n"


# --- what is refused, or would mislead

BAD: Final = {
    "dataset=mainnet": ("dataset", "ethereum/mainnet"),
    "dataset=": ("dataset", "ethereum/mainnet"),
    "dataset=a/b/c": ("dataset", "ethereum/mainnet"),
    "dataset=a/x@1.0.0": ("dataset", "ethereum/mainnet"),
    "dataset=A/x": ("dataset", "a-z"),
    "label=env": ("label", "key=value"),
    "label=": ("label", "key=value"),
    "label==prod": ("label", "key=value"),
    "label=env=prod&label=env": ("label", "key=value"),
    "created_after=yesterday": ("created_after", "datetime"),
    "created_after=": ("created_after", "datetime"),
    "created_after=2026-03-01": ("created_after", "timezone"),
    "created_after=2026-03-01T00:00:00": ("created_after", "timezone"),
    "created_before=2026-13-01T00:00:00Z": ("created_before", "month"),
    "created_before=2026-02-30T00:00:00Z": ("created_before", "day"),
    "kind=%00": ("NUL",),
    "worker_id=a%00": ("NUL",),
    "labels=a=b": ("labels", "known are", "label"),
    "worker=worker-01": ("worker", "known are", "worker_id"),
    "status=all&status=nonsense": ("nonsense", "known are"),
}


@pytest.mark.parametrize("query", BAD)
async def test_a_bad_filter_is_refused_with_its_name_and_what_would_be_right(cluster: Cluster, query: str) -> None:
    answer = await cluster.api.get(f"/jobs?{query}")
    assert error(answer) == (400, "INVALID_QUERY_PARAMETERS")
    for word in BAD[query]:
        assert word in answer.json()["error_message"]


@pytest.mark.parametrize("query", ["kind=", "worker_id="])
async def test_a_filter_with_an_empty_value_does_not_list_everything(
    cluster: Cluster, jobs: dict[str, int], query: str
) -> None:
    """`ampctl job list --worker "$WORKER"` with a variable that is not set: no job has that worker."""
    answer = await cluster.api.get(f"/jobs?status=all&{query}")
    assert answer.status_code == 400 or answer.json()["jobs"] == [], "the filter was dropped in silence"


async def test_two_values_of_one_label_are_not_taken_for_the_second_alone(
    cluster: Cluster, jobs: dict[str, int]
) -> None:
    """Filters that are given together must all fit."""
    answer = await cluster.api.get("/jobs?status=all&label=env=prod&label=env=dev")
    assert answer.status_code == 400 or answer.json()["jobs"] == [], "the first of the labels was dropped in silence"


@pytest.mark.parametrize("value", ["2026", "20260301", "1772323200", "1772323200.5"])
async def test_a_number_is_no_moment(cluster: Cluster, value: str) -> None:
    """RFC 3339 is promised. A year taken for seconds since 1970 lists everything, or with `before` nothing."""
    for name in ("created_after", "created_before"):
        assert error(await cluster.api.get(f"/jobs?{name}={value}")) == (400, "INVALID_QUERY_PARAMETERS")


async def test_the_clients_refuse_a_moment_without_a_time_zone_and_pass_on_what_the_server_refuses(
    cluster: Cluster, jobs: dict[str, int], admin_url: str
) -> None:
    with Ampd(admin_url) as client:
        for name in ("created_after", "created_before"):
            with pytest.raises(ApiError, match=f"{name}.* has no time zone"):
                client.jobs.list(**{name: datetime(2026, 3, 1)})  # type: ignore[arg-type]  # noqa: DTZ001
        with pytest.raises(ApiError, match="want key=value"):
            client.jobs.list(labels={"": "x"})
        with pytest.raises(ApiError, match="ethereum/mainnet"):
            client.jobs.list(dataset="mainnet")


CTL_BAD: Final = {
    "--label env": (1, "--label env: want key=value"),
    "--label =prod": (1, "--label =prod: want key=value"),
    "--dataset mainnet": (1, "ethereum/mainnet"),
    "--dataset ''": (1, "ethereum/mainnet"),
    "--status nonsense": (1, "unknown status 'nonsense'; known are"),
    "--limit 0": (1, "limit must be greater than 0"),
    "--limit 1001": (1, "1000"),
    "--after 0": (1, "last_job_id"),
    "--created-after yesterday": (2, "--created-after"),
    "--created-after 2026": (2, "--created-after"),
    "--created-before 2026-13-01T00:00:00Z": (2, "--created-before"),
    "--limit many": (2, "--limit"),
    "--kind": (2, "--kind requires an argument"),
    "--colour red": (2, "--colour"),
    "stray": (2, "stray"),
}


@pytest.mark.parametrize("options", CTL_BAD)
async def test_ampctl_says_what_is_wrong_with_a_filter_and_ends_with_its_code(
    cluster: Cluster, admin_url: str, capsys: pytest.CaptureFixture[str], options: str
) -> None:
    code, words = CTL_BAD[options]
    assert run(shlex.split(f"job list {options} --admin-url {admin_url}")) == code
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""
    assert "Traceback" not in told.err


# --- pages


@pytest.mark.parametrize("status", ["all", "completed,stopped"])
@pytest.mark.parametrize("page_size", [1, 7])
async def test_filtered_pages_give_every_job_once_while_jobs_come_and_go(
    cluster: Cluster, page_size: int, status: str
) -> None:
    """Jobs are inserted and removed between the pages; whatever was there all the time is listed exactly once."""
    chance = random.Random(page_size)
    await cluster.db.execute(_MANY, {"first": 1, "last": 60})
    there = [row["id"] for row in await cluster.db.fetch_all('SELECT id FROM jobs WHERE labels @> \'{"half": "0"}\'')]
    doomed = set(chance.sample(there, 10))
    query: dict[str, str | int] = {"status": status, "kind": "page", "label": "half=0", "limit": page_size}
    listed, number = list[int](), 60
    while True:
        page = (await cluster.api.get("/jobs", params=query)).json()
        ids = [job["id"] for job in page["jobs"]]
        assert len(ids) <= page_size
        assert ids == sorted(ids, reverse=True)
        assert not set(ids) & set(listed), "a job was listed twice"
        listed += ids
        if "next_cursor" not in page:
            break
        query["last_job_id"] = page["next_cursor"]
        await cluster.db.execute(_MANY, {"first": number + 1, "last": number + 2})
        number += 2
        for job_id in chance.sample(sorted(doomed), min(2, len(doomed))):
            await cluster.services.jobs.delete(job_id, actor="test")
    assert set(there) - doomed <= set(listed), "a job that was there all the time was not listed"
    assert set(listed) <= set(there), "a job that came later, or does not fit, was listed"


_MANY: Final = """
INSERT INTO jobs (kind, idempotency_key, state, input, labels)
SELECT 'page', 'p' || n, CASE WHEN n % 3 = 0 THEN 'COMPLETED' ELSE 'STOPPED' END, '{}',
       jsonb_build_object('half', (n % 2)::text)
FROM generate_series(%(first)s::int, %(last)s::int) AS n
""".replace("% 3", "%% 3").replace("% 2", "%% 2")


async def test_many_pages_that_are_asked_for_at_once_agree(cluster: Cluster, jobs: dict[str, int]) -> None:
    answers = await asyncio.gather(*(cluster.api.get("/jobs?status=all&limit=2&kind=extraction") for _ in range(20)))
    assert len({answer.text for answer in answers}) == 1
