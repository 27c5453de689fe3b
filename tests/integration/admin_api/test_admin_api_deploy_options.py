"""What a deploy may ask for besides its blocks: what to wait for, how often to try. Over HTTP, the clients, ampctl."""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

import pytest
from admin_api_cluster import Cluster, error

from ampd.client import Ampd, ApiError, AsyncAmpd
from support.ampctl import run

DEPLOY: Final = "/datasets/{}/versions/latest/deploy"
DEFAULTS: Final = {"initial_delay": 1.0, "multiplier": 2.0, "max_delay": 300.0, "jitter": 0.25}


async def _job(cluster: Cluster, job_id: int) -> dict[str, Any]:
    answer = await cluster.api.get(f"/jobs/{job_id}")
    assert answer.status_code == 200
    job: dict[str, Any] = answer.json()
    return job


async def _jobs(cluster: Cluster) -> list[int]:
    return [job["id"] for job in (await cluster.api.get("/jobs?status=all")).json()["jobs"]]


# --- what to wait for


async def test_a_deploy_may_name_jobs_by_number_or_text_and_datasets_by_reference(cluster: Cluster) -> None:
    first = await cluster.job_in_state("SCHEDULED", "a/first")
    second = await cluster.job_in_state("COMPLETED", "a/second")
    await cluster.register("a/later")
    await cluster.register("a/waits")
    job_id = await cluster.deploy("a/waits", depends_on=[first, str(second), "a/second@1.0.0", "a/later"])
    job = await _job(cluster, job_id)
    assert (job["status"], job["waiting_for"]) == ("SCHEDULED", "dependency")
    assert job["depends_on"] == [
        {"reference": str(first), "job_id": first, "status": "SCHEDULED"},
        {"reference": str(second), "job_id": second, "status": "COMPLETED"},
        {"reference": "a/later", "job_id": None, "status": None},
        {"reference": "a/second@1.0.0", "job_id": second, "status": "COMPLETED"},
    ]
    assert await cluster.leased.complete(await cluster.start(first))
    later = await cluster.deploy("a/later")
    assert (await _job(cluster, job_id))["waiting_for"] == "dependency"
    assert await cluster.leased.complete(await cluster.start(later))
    assert (await _job(cluster, job_id))["waiting_for"] == "slot"
    assert await cluster.leased.complete(await cluster.start(job_id))


async def test_a_dependency_that_has_failed_is_shown_with_its_status_in_every_list(cluster: Cluster) -> None:
    first = await cluster.job_in_state("STOPPED", "a/first")
    await cluster.register("a/waits")
    job_id = await cluster.deploy("a/waits", depends_on=["a/first@latest"])
    for path in (f"/jobs/{job_id}", "/jobs?status=active", "/datasets/a/waits/versions/latest/jobs"):
        answer = (await cluster.api.get(path)).json()
        (job,) = answer.get("jobs", [answer])
        assert job["waiting_for"] == "failed_dependency"
        assert job["depends_on"] == [{"reference": "a/first@latest", "job_id": first, "status": "STOPPED"}]


async def test_the_same_thing_named_in_several_ways_and_twice_is_one_wish(cluster: Cluster) -> None:
    first = await cluster.job_in_state("SCHEDULED", "a/first")
    await cluster.register("a/waits")
    job_id = await cluster.deploy("a/waits", depends_on=[first, str(first), f"00{first}", first])
    assert [each["reference"] for each in (await _job(cluster, job_id))["depends_on"]] == [str(first)]
    assert await cluster.deploy("a/waits", depends_on=[f"0{first}"]) == job_id


async def test_the_same_dependencies_answer_the_same_job_and_others_a_conflict(cluster: Cluster) -> None:
    first = await cluster.job_in_state("SCHEDULED", "a/first")
    await cluster.register("a/waits")
    job_id = await cluster.deploy("a/waits", depends_on=[first, "a/first"])
    assert await cluster.deploy("a/waits", depends_on=["a/first", first]) == job_id
    for others in ([], [first], ["a/first"], ["a/first@1.0.0", first]):
        answer = await cluster.api.post(DEPLOY.format("a/waits"), json={"depends_on": others})
        assert error(answer) == (409, "ACTIVE_JOB_CONFLICT")
        assert f"id={job_id}" in answer.json()["error_message"]


async def test_a_circle_is_a_conflict_that_names_it_and_leaves_nothing_behind(cluster: Cluster) -> None:
    await cluster.register("a/x")
    await cluster.register("a/y")
    own = await cluster.api.post(DEPLOY.format("a/x"), json={"depends_on": ["a/x"]})
    assert error(own) == (409, "DEPENDENCY_CYCLE")
    assert "a/x" in own.json()["error_message"]
    x = await cluster.deploy("a/x", depends_on=["a/y"])
    for named in ("a/x", "a/x@1.0.0", x):
        assert error(await cluster.api.post(DEPLOY.format("a/y"), json={"depends_on": [named]})) == (
            409,
            "DEPENDENCY_CYCLE",
        )
    assert await _jobs(cluster) == [x]


BAD_DEPENDENCIES: Final[dict[str, tuple[Any, str, tuple[str, ...]]]] = {
    "an unknown job": ([4711], "DEPENDENCY_NOT_FOUND", ("4711", "ampctl job list")),
    "an unknown job among others": (["a/x", "4711"], "DEPENDENCY_NOT_FOUND", ("4711",)),
    "a text that is the id of no job": (["0"], "DEPENDENCY_NOT_FOUND", ("0",)),
    "an id beyond 64 bits": ([str(2**63)], "DEPENDENCY_NOT_FOUND", ()),
    "an id with more digits than Python reads": (["9" * 5000], "DEPENDENCY_NOT_FOUND", ()),
    "zero": ([0], "INVALID_BODY", ("depends_on",)),
    "a negative id": ([-1], "INVALID_BODY", ("depends_on",)),
    "a fraction": ([1.5], "INVALID_BODY", ("depends_on",)),
    "a truth": ([True], "INVALID_BODY", ("depends_on",)),
    "nothing": ([None], "INVALID_BODY", ("depends_on",)),
    "an empty text": ([""], "INVALID_BODY", ("depends_on", "ethereum/mainnet")),
    "a text that looks like an id": ([" 1"], "INVALID_BODY", ("depends_on",)),
    "digits of another script": (["１"], "INVALID_BODY", ("depends_on",)),
    "no list": ("a/x", "INVALID_BODY", ("depends_on", "list")),
    "an object": ({"job": 1}, "INVALID_BODY", ("depends_on", "list")),
    "an unknown dataset": (["a/nothing"], "INVALID_BODY", ("depends_on", "a/nothing")),
    "an unknown revision": (["a/x@9.9.9"], "INVALID_BODY", ("depends_on", "9.9.9", "1.0.0")),
    "no reference": (["mainnet"], "INVALID_BODY", ("depends_on", "ethereum/mainnet")),
    "too many": (["a/x"] * 101, "INVALID_BODY", ("depends_on", "100")),
}


@pytest.mark.parametrize("case", BAD_DEPENDENCIES)
async def test_what_cannot_be_waited_for_is_refused_and_nothing_is_deployed(cluster: Cluster, case: str) -> None:
    named, code, words = BAD_DEPENDENCIES[case]
    await cluster.register("a/x")
    await cluster.register("a/waits")
    answer = await cluster.api.post(DEPLOY.format("a/waits"), json={"depends_on": named})
    assert error(answer) == (400, code)
    message = answer.json()["error_message"]
    assert all(word in message for word in words), message
    assert len(message) < 500, "the message repeats all that was sent"
    assert await _jobs(cluster) == []


# --- how often to try


async def _stored_policy(cluster: Cluster, job_id: int) -> dict[str, float]:
    return vars((await cluster.services.jobs.get(job_id)).retry_policy)


async def test_retries_and_their_delays_are_kept_with_the_job(cluster: Cluster) -> None:
    await cluster.register()
    retry = {"initial_delay_secs": 10, "multiplier": 3, "max_delay_secs": 3600.5, "jitter": 0.5}
    job_id = await cluster.deploy(retries=5, retry=retry)
    job = await _job(cluster, job_id)
    assert (job["retries"], job["retry_count"]) == (5, 0)
    assert await _stored_policy(cluster, job_id) == {
        "initial_delay": 10.0,
        "multiplier": 3.0,
        "max_delay": 3600.5,
        "jitter": 0.5,
    }
    assert await cluster.deploy(retries=5, retry=retry) == job_id
    for other in ({"retries": 6, "retry": retry}, {"retries": 5}, {"retries": 5, "retry": {**retry, "jitter": 0}}):
        assert error(await cluster.api.post(DEPLOY.format("ethereum/mainnet"), json=other)) == (
            409,
            "ACTIVE_JOB_CONFLICT",
        )


async def test_what_a_deploy_does_not_say_of_its_retries_has_its_default(cluster: Cluster) -> None:
    for name, options, expected in (
        ("a/none", {}, DEFAULTS),
        ("a/null", {"retries": None, "retry": None}, DEFAULTS),
        ("a/empty", {"retry": {}}, DEFAULTS),
        ("a/part", {"retry": {"max_delay_secs": 7}}, {**DEFAULTS, "max_delay": 7.0}),
    ):
        await cluster.register(name)
        job_id = await cluster.deploy(name, **options)
        assert (await _job(cluster, job_id))["retries"] is None
        assert await _stored_policy(cluster, job_id) == expected


@pytest.mark.parametrize(
    "retry",
    [
        {"initial_delay_secs": 0, "multiplier": 1, "max_delay_secs": 0, "jitter": 0},
        {"initial_delay_secs": 2_592_000, "multiplier": 100, "max_delay_secs": 2_592_000, "jitter": 1},
        {"initial_delay_secs": 1e-9, "multiplier": 1.0000001, "max_delay_secs": 0.1, "jitter": 0.1},
    ],
    ids=["least", "most", "small"],
)
async def test_the_ends_of_what_may_be_asked_for_work(cluster: Cluster, retry: dict[str, float]) -> None:
    await cluster.register()
    job_id = await cluster.deploy(retries=2**31 - 1, retry=retry)
    assert await cluster.deploy(retries=2**31 - 1, retry=retry) == job_id
    policy = (await cluster.services.jobs.get(job_id)).retry_policy
    for count in (1, 2, 2**31 - 1):
        assert 0 <= policy.delay(count, 0.999) <= policy.delay(count, 0.0) <= retry["max_delay_secs"]


BAD_RETRIES: Final[dict[str, tuple[dict[str, Any], tuple[str, ...]]]] = {
    "fewer than none": ({"retries": -1}, ("retries", "0")),
    "more than can be counted": ({"retries": 2**31}, ("retries", "2147483647")),
    "a fraction": ({"retries": 1.5}, ("retries", "integer")),
    "a truth": ({"retries": True}, ("retries", "integer")),
    "a text": ({"retries": "1"}, ("retries", "integer")),
    "a list": ({"retry": []}, ("retry",)),
    "a number for the delays": ({"retry": 5}, ("retry",)),
    "an unknown setting": ({"retry": {"delay": 1}}, ("delay", "initial_delay_secs", "max_delay_secs")),
    "a delay into the past": ({"retry": {"initial_delay_secs": -0.1}}, ("retry.initial_delay_secs", "0")),
    "a delay of a text": ({"retry": {"initial_delay_secs": "1"}}, ("retry.initial_delay_secs", "number")),
    "a delay of a truth": ({"retry": {"max_delay_secs": True}}, ("retry.max_delay_secs", "number")),
    "no delay": ({"retry": {"max_delay_secs": None}}, ("retry.max_delay_secs",)),
    "more than a month": ({"retry": {"max_delay_secs": 2_592_001}}, ("retry.max_delay_secs", "2592000")),
    "delays that shrink": ({"retry": {"multiplier": 0.99}}, ("retry.multiplier", "1")),
    "delays that explode": ({"retry": {"multiplier": 101}}, ("retry.multiplier", "100")),
    "more than the whole": ({"retry": {"jitter": 1.01}}, ("retry.jitter", "1")),
    "less than nothing": ({"retry": {"jitter": -0.01}}, ("retry.jitter", "0")),
}


@pytest.mark.parametrize("case", BAD_RETRIES)
async def test_a_policy_that_makes_no_sense_is_refused_with_its_key_and_its_bound(cluster: Cluster, case: str) -> None:
    body, words = BAD_RETRIES[case]
    await cluster.register()
    answer = await cluster.api.post(DEPLOY.format("ethereum/mainnet"), json=body)
    assert error(answer) == (400, "INVALID_BODY")
    assert all(word in answer.json()["error_message"] for word in words), answer.json()
    assert await _jobs(cluster) == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_delay_that_is_no_number_is_refused(cluster: Cluster, number: str) -> None:
    await cluster.register()
    for name in ("initial_delay_secs", "multiplier", "max_delay_secs", "jitter"):
        body = f'{{"retry": {{"{name}": {number}}}}}'
        headers = {"content-type": "application/json"}
        answer = await cluster.api.post(DEPLOY.format("ethereum/mainnet"), content=body, headers=headers)
        assert error(answer) == (400, "INVALID_BODY")
    assert await _jobs(cluster) == []


# --- the clients and ampctl


async def test_both_clients_pass_on_what_to_wait_for_and_how_often_to_try(cluster: Cluster, admin_url: str) -> None:
    first = await cluster.job_in_state("SCHEDULED", "a/first")
    for name in ("a/sync", "a/async"):
        await cluster.register(name)
    retry = {"initial_delay_secs": 10, "jitter": 0}
    with Ampd(admin_url) as sync:
        one = sync.datasets.deploy("a/sync", depends_on=[first, "a/first"], retries=0, retry=retry)  # type: ignore[arg-type]
        with pytest.raises(ApiError) as refused:
            sync.datasets.deploy("a/sync", depends_on=[first], retries=0, retry=retry)  # type: ignore[arg-type]
        assert (refused.value.code, refused.value.status) == ("ACTIVE_JOB_CONFLICT", 409)
        job = sync.jobs.get(one)
        assert (job.raw["retries"], job.raw["waiting_for"]) == (0, "dependency")
        assert [each["reference"] for each in job.raw["depends_on"]] == [str(first), "a/first"]
    async with AsyncAmpd(admin_url) as client:
        other = await client.datasets.deploy("a/async", depends_on=[one], retries=2)
        job = await client.jobs.get(other)
        assert (job.raw["retries"], job.raw["waiting_for"]) == (2, "dependency")
        with pytest.raises(ApiError) as unknown:
            await client.datasets.deploy("a/first@1.0.0", depends_on=[4711])
        assert unknown.value.code in {"DEPENDENCY_NOT_FOUND", "ACTIVE_JOB_CONFLICT"}
    assert (await _stored_policy(cluster, one)) == {**DEFAULTS, "initial_delay": 10.0, "jitter": 0.0}


async def test_ampctl_deploys_with_dependencies_and_retries_and_shows_why_a_job_waits(
    cluster: Cluster, admin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await cluster.job_in_state("SCHEDULED", "a/first")
    await cluster.register("a/waits")

    def ampctl(command: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run([*shlex.split(command), "--admin-url", admin_url]) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    deploy = f"dataset deploy a/waits --depends-on {first} --depends-on a/first@1.0.0 --retries 3"
    job_id = json.loads(ampctl(f"{deploy} --json"))["job_id"]
    job = await _job(cluster, job_id)
    assert (job["retries"], [each["reference"] for each in job["depends_on"]]) == (3, [str(first), "a/first@1.0.0"])
    assert "Waiting for" in ampctl("job list")
    await cluster.api.put(f"/jobs/{first}/stop")
    inspected = json.loads(ampctl(f"job inspect {job_id}"))
    assert inspected["waiting_for"] == "failed_dependency"
    assert {each["status"] for each in inspected["depends_on"]} == {"STOPPED"}
    assert "4711" in ampctl("dataset deploy a/first --depends-on 4711", code=1)
    assert "retries" in ampctl("dataset deploy a/first --retries=-1", code=1)
    assert "--retries" in ampctl("dataset deploy a/first --retries often", code=2)
    assert "--depends-on" in ampctl("dataset deploy a/first --depends-on", code=2)
    assert "DEPENDENCY" not in ampctl("dataset deploy a/first --depends-on a/first", code=1)
    assert "wait for itself" in ampctl("dataset deploy a/first --depends-on a/waits", code=1)
