"""POST /jobs: jobs of any kind, what is wrong with them, and what of their inputs is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from admin_api_cluster import LEASE_SECONDS, Cluster, error, services_over
from psycopg.rows import dict_row
from pydantic import BaseModel, Field, SecretStr

from ampd.admin_api import create_app
from ampd.handlers import HandlerContext, kind_of
from ampd.jobs import Completed, WorkerIdentity, WorkerSession
from ampd.metadata_db import MetadataDb


class Report(BaseModel):
    day: str = Field(min_length=1)
    token: SecretStr = SecretStr("")


async def report(job: Report, context: HandlerContext) -> None: ...


@pytest.fixture
async def cluster(metadata_db: MetadataDb, session: WorkerSession, tmp_path: Path) -> AsyncIterator[Cluster]:
    """The Admin API, which knows the kind ``report``, without a socket."""
    services = services_over(metadata_db, tmp_path, {"report": kind_of("report", report, source="test")})
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        yield Cluster(metadata_db, services, api, session, session._identity, tmp_path)


REPORT = {"kind": "report", "input": {"day": "2026-03-04"}}


async def created(cluster: Cluster, **body: Any) -> Any:
    answer = await cluster.api.post("/jobs", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_job_is_created_as_it_was_asked_for_and_gives_its_result(cluster: Cluster) -> None:
    first = await created(cluster, **REPORT)
    job = await created(
        cluster,
        **REPORT,
        labels={"product": "my-app", "env": "prd"},
        retries=3,
        retry_policy={"initial_delay_secs": 10, "jitter": 0},
        start_at="2020-01-01T00:00:00+01:00",
        priority=7,
        depends_on=[first["id"]],
        worker="work*",
    )
    assert job == job | {
        "status": "SCHEDULED",
        "kind": "report",
        "descriptor": {"day": "2026-03-04"},
        "labels": {"product": "my-app", "env": "prd"},
        "retries": 3,
        "priority": 7,
        "waiting_for": "dependency",
        "dataset": None,
        "result": None,
        "execution_number": 1,
    }
    assert first["retries"] == 0
    assert await cluster.leased.complete(await cluster.start(first["id"]), Completed({"rows": 3}))
    lease = await cluster.start(job["id"])
    assert await cluster.leased.report_progress(lease, {"done": 1, "end_block": "x", "start_block": None})
    progress = (await cluster.api.get(f"/jobs/{job['id']}/progress")).json()
    assert progress["progress"] == {"done": 1, "end_block": "x", "start_block": None}
    assert (progress["tables"], progress["end_block"]) == ({}, None)
    assert (await cluster.api.get(f"/jobs/{first['id']}")).json()["result"] == {"rows": 3}
    listed = (await cluster.api.get("/jobs", params={"status": "all", "label": "env=prd"})).json()["jobs"]
    assert [each["id"] for each in listed] == [job["id"]]


async def test_a_start_may_be_a_moment_or_milliseconds(cluster: Cluster) -> None:
    for start_at in ("2099-03-04T10:00:00Z", 4_076_301_600_000):
        job = await created(cluster, **REPORT, start_at=start_at)
        assert (job["run_at"], job["lifecycle"], job["waiting_for"]) == ("2099-03-04T10:00:00Z", "scheduled", "run_at")


async def test_the_same_key_and_content_is_the_same_job_and_other_content_is_refused(cluster: Cluster) -> None:
    body = {**REPORT, "labels": {"env": "prd"}, "idempotency_key": "march 4"}
    answers = await asyncio.gather(*(cluster.api.post("/jobs", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    (job_id,) = {answer.json()["id"] for answer in answers}
    reordered = {"idempotency_key": "march 4", "labels": {"env": "prd"}, **REPORT}
    assert (await cluster.api.post("/jobs", json=reordered)).json()["id"] == job_id
    for change in (
        {"input": {"day": "2026-03-05"}},
        {"input": {"day": "2026-03-04", "token": "t"}},
        {"labels": {}},
        {"priority": 1},
        {"retries": 1},
        {"start_at": 1},
    ):
        assert error(await cluster.api.post("/jobs", json=body | change)) == (409, "IDEMPOTENCY_KEY_REUSED")


async def test_what_an_input_hides_is_in_no_answer_and_no_table_that_answers_come_from(cluster: Cluster) -> None:
    job = await created(cluster, kind="report", input={"day": "d", "token": "hunter2!"}, idempotency_key="k")
    assert job["descriptor"] == {"day": "d", "token": "***"}
    path = f"/jobs/{job['id']}"
    answers = [(await cluster.api.get(each)).text for each in (path, f"{path}/events", "/jobs", f"{path}/progress")]
    events = (await cluster.api.get(f"{path}/events")).json()["events"]
    assert events[0]["detail"] == {"day": "d", "token": "***"}
    tables = [f"SELECT to_jsonb(t)::text AS text FROM {name} t" for name in ("jobs", "job_executions", "job_events")]
    rows = [row["text"] for query in tables for row in await cluster.db.fetch_all(query)]  # type: ignore[arg-type]
    assert rows
    assert "hunter2!" not in str(answers) + str(rows)
    kept = await cluster.db.fetch_all("SELECT secrets FROM job_secrets")
    assert [row["secrets"] for row in kept] == [[[["token"], "hunter2!"]]]
    await cluster.services.jobs.request_stop(job["id"], actor="test")
    await cluster.services.jobs.delete(job["id"], actor="test")
    assert await cluster.db.fetch_all("SELECT FROM job_secrets") == []


async def test_a_kind_that_only_workers_have_is_taken_and_hides_what_is_named_like_a_secret(cluster: Cluster) -> None:
    body = {"kind": "elsewhere", "input": {"api_key": "hunter2!", "n": 1}}
    assert error(await cluster.api.post("/jobs", json=body)) == (400, "UNKNOWN_JOB_KIND")
    with psycopg.connect(cluster.db.url, autocommit=True, row_factory=dict_row) as connection:
        other = WorkerSession(connection, WorkerIdentity("worker-02", uuid4()), lease_seconds=LEASE_SECONDS)
        other.register(info={"kinds": ["elsewhere"]}, slots=1)
    assert (await cluster.api.get("/workers/worker-02")).json()["kinds"] == ["elsewhere"]
    job = await created(cluster, **body)
    assert job["descriptor"] == {"api_key": "***", "n": 1}


BAD: dict[str, tuple[Any, str, str]] = {
    "no object": ([], "INVALID_BODY", ""),
    "no kind": ({"input": {}}, "INVALID_BODY", "kind"),
    "an unknown key": ({**REPORT, "colour": "red"}, "INVALID_BODY", "unknown 'colour'; known are kind, input"),
    "an unknown kind": ({"kind": "nope"}, "UNKNOWN_JOB_KIND", "compaction, extraction, report, verification"),
    "a kind that is no text": ({"kind": 5}, "INVALID_BODY", "kind"),
    "an input that lacks something": ({"kind": "report"}, "INVALID_JOB_INPUT", "day: is missing"),
    "an input of another type": (
        {"kind": "report", "input": {"day": 5}},
        "INVALID_JOB_INPUT",
        "day: Input should be a valid string",
    ),
    "an input that is a list": ({"kind": "report", "input": []}, "INVALID_BODY", "input"),
    "an input that is too large": (
        {"kind": "report", "input": {"day": "x" * 300_000}},
        "INVALID_BODY",
        "300011 bytes of JSON, the most is 262144",
    ),
    "an input with a NUL": ({"kind": "report", "input": {"day": "a\x00"}}, "INVALID_BODY", "NUL"),
    "a label that is no text": ({**REPORT, "labels": {"a": 1}}, "INVALID_BODY", "labels.a"),
    "a label with an equals sign": ({**REPORT, "labels": {"a=b": "c"}}, "INVALID_BODY", "label 'a=b'"),
    "a label that is too long": ({**REPORT, "labels": {"a": "x" * 256}}, "INVALID_BODY", "255 characters"),
    "too many labels": ({**REPORT, "labels": {f"l{n}": "" for n in range(65)}}, "INVALID_BODY", "more than 64"),
    "a label of ours": ({**REPORT, "labels": {"dataset_version": "1"}}, "INVALID_BODY", "dataset_version"),
    "negative retries": ({**REPORT, "retries": -1}, "INVALID_BODY", "retries"),
    "a policy with a typing error": ({**REPORT, "retry_policy": {"delay": 1}}, "INVALID_BODY", "unknown 'delay'"),
    "a start without a zone": ({**REPORT, "start_at": "2026-03-04T10:00:00"}, "INVALID_BODY", "start_at"),
    "a start that is no moment": ({**REPORT, "start_at": "soon"}, "INVALID_BODY", "start_at"),
    "a start in a text of digits": ({**REPORT, "start_at": "1772618400000"}, "INVALID_BODY", "are a number"),
    "a start beyond the calendar": ({**REPORT, "start_at": 10**18}, "INVALID_BODY", "years 1 to 9999"),
    "a timetable of no time": ({**REPORT, "schedule": {"cron": "61 * * * *"}}, "INVALID_SCHEDULE", "cron"),
    "an empty key": ({**REPORT, "idempotency_key": " "}, "INVALID_BODY", "idempotency_key"),
    "a key that is too long": ({**REPORT, "idempotency_key": "x" * 256}, "INVALID_BODY", "1 to 255"),
    "a worker that is none": ({**REPORT, "worker": "9"}, "INVALID_BODY", "worker"),
    "a dependency that is not there": ({**REPORT, "depends_on": [9999]}, "DEPENDENCY_NOT_FOUND", "9999"),
    "a dependency on no dataset": ({**REPORT, "depends_on": ["a/b"]}, "INVALID_BODY", "depends_on"),
    "a dataset that is not there": (
        {"kind": "compaction", "input": {"dataset": "a/b"}},
        "INVALID_JOB_INPUT",
        "a/b",
    ),
    "a reference that is none": (
        {"kind": "extraction", "input": {"dataset": "a"}},
        "INVALID_JOB_INPUT",
        "the input of kind 'extraction': dataset",
    ),
    "no dataset": ({"kind": "verification"}, "INVALID_JOB_INPUT", "the field 'dataset' is missing"),
    "a typing error in the input": (
        {"kind": "compaction", "input": {"dataset": "a/b", "cooldown": 5}},
        "INVALID_JOB_INPUT",
        "unknown 'cooldown'",
    ),
    "a key for a dataset's job": (
        {"kind": "extraction", "input": {"dataset": "a/b"}, "idempotency_key": "k"},
        "INVALID_BODY",
        "idempotency_key: not for jobs of kind 'extraction'",
    ),
    "retries of a verification": (
        {"kind": "verification", "input": {"dataset": "a/b"}, "retries": 1},
        "INVALID_BODY",
        "retries: not for jobs of kind 'verification'",
    ),
}


@pytest.fixture
def refuse(cluster: Cluster) -> Any:
    async def post(body: Any) -> tuple[int, str, str]:
        answer = await cluster.api.post("/jobs", json=body)
        assert answer.status_code != 201, f"{body} was taken"
        return *error(answer), answer.json()["error_message"]

    return post


async def test_what_is_wrong_is_refused_with_what_would_be_right(cluster: Cluster, refuse: Any) -> None:
    for name, (body, code, reason) in BAD.items():
        status, found, message = await refuse(body)
        assert (status, found) == (400, code), (name, message)
        assert reason in message, name
    assert await cluster.db.fetch_all("SELECT FROM jobs") == []


async def test_an_extraction_is_deployed_as_a_deploy_of_the_dataset_does_it(cluster: Cluster) -> None:
    await cluster.register()
    body = {
        "kind": "extraction",
        "input": {"dataset": "ethereum/mainnet@1.0.0", "end_block": 100, "parallelism": 2},
        "labels": {"env": "prd"},
    }
    job = await created(cluster, **body)
    assert job["labels"] == {"env": "prd", "dataset_version": "1.0.0"}
    assert (job["end_block"], job["parallelism"], job["retries"]) == ("100", 2, None)
    assert await cluster.deploy(end_block="100", parallelism=2) == job["id"]
    again = await cluster.api.post("/jobs", json=body)
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    other = body | {"input": {"dataset": "ethereum/mainnet", "end_block": 200}}
    assert error(await cluster.api.post("/jobs", json=other)) == (409, "ACTIVE_JOB_CONFLICT")
    await cluster.services.jobs.request_stop(job["id"], actor="test")
    another = await created(cluster, **other)
    assert (another["id"], another["execution_number"]) == (job["id"], 2)
    await cluster.services.jobs.request_stop(job["id"], actor="test")
    limited = await created(cluster, kind="extraction", input={"dataset": "ethereum/mainnet"}, retries=4)
    assert limited["retries"] == 4


async def test_an_extraction_without_a_provider_or_with_a_bad_option_is_refused(cluster: Cluster, refuse: Any) -> None:
    await cluster.register()
    await cluster.db.execute("DELETE FROM jobs")
    for job_input, reason in (
        ({"end_block": "soon"}, "end_block"),
        ({"parallelism": 0}, "parallelism"),
        ({"verify": "perhaps"}, "verify"),
    ):
        status, code, message = await refuse(
            {"kind": "extraction", "input": {"dataset": "ethereum/mainnet"} | job_input}
        )
        assert (status, code) == (400, "INVALID_JOB_INPUT")
        assert reason in message
    await cluster.services.providers.delete("mainnet")
    assert (await refuse({"kind": "extraction", "input": {"dataset": "ethereum/mainnet"}}))[:2] == (
        400,
        "PROVIDER_NOT_FOUND",
    )


async def test_verifications_and_compactions_name_their_dataset(cluster: Cluster) -> None:
    manifest_hash = await cluster.register()
    verification = await created(
        cluster, kind="verification", input={"dataset": "ethereum/mainnet", "start_block": 3}, priority=2
    )
    assert (verification["descriptor"]["start_block"], verification["priority"]) == ("3", 2)
    compaction = await created(
        cluster, kind="compaction", input={"dataset": "ethereum/mainnet", "cooldown_secs": 60}, retries=2
    )
    assert compaction == compaction | {
        "dataset": {"namespace": "ethereum", "name": "mainnet", "version": "1.0.0"},
        "manifest_hash": manifest_hash,
        "retries": 2,
    }
    assert compaction["descriptor"]["cooldown_secs"] == 60
    listed = (await cluster.api.get("/jobs", params={"dataset": "ethereum/mainnet"})).json()["jobs"]
    assert [each["id"] for each in listed] == [compaction["id"], verification["id"]]


async def test_words_of_ours_in_the_input_of_another_kind_mean_nothing(cluster: Cluster) -> None:
    with psycopg.connect(cluster.db.url, autocommit=True, row_factory=dict_row) as connection:
        other = WorkerSession(connection, WorkerIdentity("worker-02", uuid4()), lease_seconds=LEASE_SECONDS)
        other.register(info={"kinds": ["elsewhere"]}, slots=1)
    words = {"end_block": 5, "manifest_hash": [], "max_writers": "many", "dataset_name": 7}
    job = await created(cluster, kind="elsewhere", input=words)
    assert job == job | {
        "descriptor": words,
        "end_block": None,
        "manifest_hash": None,
        "parallelism": 1,
        "dataset": None,
    }


async def test_input_of_great_depth_is_refused_or_taken_and_breaks_nothing(cluster: Cluster) -> None:
    deep = '{"kind": "report", "input": {"day": ' + "[" * 50_000 + "]" * 50_000 + "}}"
    answer = await cluster.api.post("/jobs", content=deep, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
