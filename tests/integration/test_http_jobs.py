"""Jobs of kind ``http`` against a real server: what they send, what they make of answers, and what nobody sees."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from ampd.errors import AmpError
from ampd.handlers import TypedHandler
from ampd.handlers.http_call import MOST_BODY_BYTES, USER_AGENT, http_kind
from ampd.handlers.http_input import HTTP
from ampd.jobs import AttemptStore, Job, JobCreator, JobState, JobStore, LeasedJobs, NewJob, RetryPolicy
from ampd.metadata_db import EmbeddedPostgres, MetadataDb
from ampd.webhooks import AddressRules
from ampd.webhooks.guarded import GuardedHttp
from support.databases import fresh_database
from support.http_target import Got, Target, answer, http_target
from support.worker_nodes import until, worker_node

SECRET = "Bearer hunter2-hunter2"
VARIABLES = {"AMP_JOB_TOKEN": "t0ps3cret", "AMP_JOB_HOST": "127.0.0.1", "AMP_JOB_BROKEN": "a\nb", "HOME": "/root"}


@pytest.fixture(scope="module")
def module_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


class Scene:
    """A worker that may call this machine, and a server there."""

    def __init__(self, db: MetadataDb, target: Target) -> None:
        self.db = db
        self.target = target
        self.store = JobStore(db)

    async def create(self, job_input: dict[str, Any], **changes: Any) -> int:
        shown, secrets = HTTP.take_apart({"url": f"{self.target.url}/hook"} | job_input)
        kept = [[list(path), value] for path, value in secrets]
        new = NewJob(**{"kind": "http", "input": shown, "request_hash": "h", "secrets": kept} | changes)
        return (await JobCreator(self.db).create(new, actor="test"))[0]

    async def until_ended(self, job_id: int) -> Job:
        async def has_ended() -> Job | None:
            job = await self.store.get(job_id)
            return job if job.state in {JobState.COMPLETED, JobState.FAILED, JobState.STOPPED} else None

        return await until(f"job {job_id} to end", has_ended)

    async def run(self, job_input: dict[str, Any], **changes: Any) -> Job:
        return await self.until_ended(await self.create(job_input, **changes))

    async def error_of(self, job_input: dict[str, Any], **changes: Any) -> dict[str, Any]:
        job = await self.run(job_input, **changes)
        assert (job.state, job.result) == (JobState.FAILED, None)
        assert job.last_error is not None
        return job.last_error

    async def everything_that_is_shown(self, job_id: int) -> str:
        """Return all of a job that answers may come from, and its history."""
        job, (events, _) = await self.store.get(job_id), await self.store.events(job_id)
        rows = await self.db.fetch_all("SELECT to_jsonb(e)::text AS t FROM job_executions e")
        rows += await self.db.fetch_all("SELECT to_jsonb(e)::text AS t FROM job_attempts e")
        return f"{job}{events}{rows}"


@pytest.fixture
async def scene(module_url: str) -> AsyncIterator[Scene]:
    rules = AddressRules.of(["127.0.0.0/8"])
    async with (
        MetadataDb(module_url) as db,
        http_target() as target,
        GuardedHttp(rules, user_agent=USER_AGENT) as http,
    ):
        handler = TypedHandler(http_kind(http, VARIABLES), AttemptStore(db), LeasedJobs(db))
        policy = RetryPolicy(initial_delay=0.01, max_delay=0.05)
        async with worker_node(module_url, "w1", handler, kind="http", retry_policy=policy):
            yield Scene(db, target)


async def test_a_call_is_made_as_it_was_asked_for_and_its_answer_is_the_result(scene: Scene) -> None:
    scene.target.answers = [
        answer("201 Created", b'{"ok": true}', Content_Type="application/json", X_Request_Id="r1", Set_Cookie="a=b")
    ]
    body = {"b": [1, "ü"], "a": None}
    job = await scene.run({"method": "post", "headers": {"X-Api-Key": SECRET, "Accept": "text/html"}, "body": body})
    (got,) = scene.target.got
    assert (got.method, got.path, json.loads(got.body)) == ("POST", "/hook", body)
    assert got.headers == got.headers | {
        "x-api-key": SECRET,
        "accept": "text/html",
        "content-type": "application/json",
        "idempotency-key": f"{job.id}-1",
        "host": scene.target.url.removeprefix("http://"),
        "user-agent": USER_AGENT,
    }
    assert job.state is JobState.COMPLETED
    assert job.result == job.result | {
        "status": 201,
        "headers": {"content-type": "application/json", "content-length": "12", "x-request-id": "r1"},
        "body": '{"ok": true}',
        "body_truncated": False,
    }
    assert job.result["duration_ms"] >= 0


async def test_texts_are_sent_as_they_are_and_headers_of_the_job_come_first(scene: Scene) -> None:
    own = {"Content-Type": "text/csv", "idempotency-key": "mine"}
    await scene.run({"method": "PUT", "body": "a,b\n", "headers": own})
    await scene.run({"method": "PUT", "body": "plain"})
    await scene.run({"method": "DELETE"})
    first, second, third = scene.target.got
    assert (first.body, first.headers["content-type"], first.headers["idempotency-key"]) == (
        b"a,b\n",
        "text/csv",
        "mine",
    )
    assert (second.body, second.headers["content-type"]) == (b"plain", "text/plain; charset=utf-8")
    assert (third.body, third.headers.get("content-type")) == (b"", None)


@pytest.mark.parametrize(
    ("status", "job_input", "tries"),
    [
        ("404 Not Found", {}, 1),
        ("302 Found", {}, 1),
        ("429 Too Many", {}, 3),
        ("500 Oops", {}, 3),
        ("408 Late", {}, 3),
        ("404 Not Found", {"retryable_statuses": ["400-404"]}, 3),
        ("503 Away", {"retryable_statuses": [429]}, 1),
        ("200 OK", {"expected_statuses": [204]}, 1),
    ],
)
async def test_an_answer_that_is_not_expected_fails_the_job_at_once_or_is_tried_again(
    scene: Scene, status: str, job_input: dict[str, Any], tries: int
) -> None:
    scene.target.usually = answer(status, b"because", Location="http://169.254.169.254/")
    error = await scene.error_of(job_input, retries=2)
    number = int(status[:3])
    assert error["error_code"] == "HTTP_STATUS_REFUSED"
    assert error["error_message"] == f"the answer's status is {number}, which is none of expected_statuses"
    assert (error["error_context"]["status"], error["error_context"]["body"]) == (number, "because")
    assert len(scene.target.got) == tries  # and a redirect was not followed
    assert len({got.headers["idempotency-key"] for got in scene.target.got}) == 1


async def test_statuses_that_are_expected_complete_the_job_whatever_they_mean_elsewhere(scene: Scene) -> None:
    scene.target.usually = answer("404 Not Found")
    job = await scene.run({"expected_statuses": ["2xx", 404], "keep_body": False})
    assert (job.state, job.result["status"], "body" in job.result) == (JobState.COMPLETED, 404, False)


async def test_a_call_that_recovers_completes(scene: Scene) -> None:
    scene.target.answers = [answer("503 Away"), b"", answer("500 Oops")]
    job = await scene.run({}, retries=None)
    assert (job.state, len(scene.target.got)) == (JobState.COMPLETED, 4)


WAITS = {
    "7": (6, 8),
    "100000": (29, 31),
    "Wed, 04 Mar 2026 10:00:20 GMT": (18, 21),
    "nonsense": (0, 2),
    "-5": (0, 2),
}


async def test_retry_after_is_honoured_as_far_as_the_retry_policy_goes(scene: Scene) -> None:
    policy = RetryPolicy(initial_delay=1.0, max_delay=30.0)
    for asked, (least, most) in WAITS.items():
        scene.target.usually = answer("429 Slow", Retry_After=asked, Date="Wed, 04 Mar 2026 10:00:00 GMT")
        job_id = await scene.create({}, retries=1, retry_policy=policy)

        async def waits(job_id: int = job_id) -> Any:
            return await scene.db.fetch_one(
                "SELECT extract(epoch FROM run_at - updated_at)::float8 AS delay FROM jobs"
                " WHERE id = %(id)s AND retry_count = 1 AND state = 'SCHEDULED'",
                {"id": job_id},
            )

        delay = (await until("the retry", waits))["delay"]
        assert least <= delay <= most, asked
        await scene.store.request_stop(job_id, actor="test")


BROKEN = {
    "cut in its body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "cut in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
    "cut in its head": b"HTTP/1.1 200 OK\r\nContent-",
    "nothing": b"",
    "no HTTP": b"220 mail.example.com ESMTP\r\n",
}


async def test_answers_that_break_off_are_no_answers(scene: Scene) -> None:
    for name, content in BROKEN.items():
        scene.target.got.clear()
        scene.target.usually = content
        error = await scene.error_of({}, retries=1)
        assert error["error_code"] == "HTTP_CALL_FAILED", name
        assert "the connection ended, or what came is no HTTP" in error["error_message"], name
        assert len(scene.target.got) == 2, name


async def test_nobody_there_and_no_answer_in_time_are_tried_again(scene: Scene) -> None:
    scene.target.usually = None
    error = await scene.error_of({"timeout_secs": 0.05}, retries=1)
    assert (error["error_code"], len(scene.target.got)) == ("HTTP_CALL_FAILED", 2)
    assert "no answer in the time that it has" in error["error_message"]
    async with http_target() as gone:
        url = gone.url
    error = await scene.error_of({"url": url})
    assert error["error_message"] == "the call failed: the connection was refused"


async def test_of_a_huge_body_only_the_beginning_is_read_and_kept(scene: Scene) -> None:
    scene.target.usually = answer("200 OK", b"\x00\xff\x01" * 7_000_000)
    job = await scene.run({})
    assert job.result["body_truncated"] is True
    assert job.result["body"].startswith("\ufffd\ufffd\x01" * 1000)
    scene.target.usually = answer("200 OK", b"y" * 20_000_000)
    job = await scene.run({})
    assert (job.result["body_truncated"], len(job.result["body"])) == (True, MOST_BODY_BYTES)
    scene.target.usually = answer("200 OK", b"x" * MOST_BODY_BYTES)
    assert (await scene.run({})).result["body_truncated"] is False
    scene.target.hangs = True  # the rest of it never comes, and nobody waits for it
    scene.target.usually = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n" + b"z" * (MOST_BODY_BYTES + 1)
    assert (await scene.run({})).result["body"] == "z" * MOST_BODY_BYTES


# --- addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://[::1]:8080/",
        "https://2130706434.example.invalid@10.1.1.1/",
        "http://8.8.8.8/",
        "https://[::ffff:10.0.0.1]/",
    ],
)
async def test_addresses_that_are_not_public_are_refused_at_once(scene: Scene, url: str) -> None:
    if "@" in url:
        with pytest.raises(AmpError, match="no user name"):
            await scene.create({"url": url})
        return
    error = await scene.error_of({"url": url}, retries=5)
    assert error["error_code"] == "HTTP_ADDRESS_REFUSED"
    assert "http_jobs.allowed_networks" in error["error_message"]
    assert scene.target.got == []


# --- secrets


def echo(got: Got) -> bytes:
    """Answer with all that came, as careless receivers do."""
    text = json.dumps({"headers": got.headers, "path": got.path, "body": got.body.decode()})
    return answer("200 OK", text.encode(), ETag=got.headers.get("authorization", ""))


async def test_what_is_secret_is_sent_and_seen_nowhere(scene: Scene) -> None:
    job_input = {
        "url": f"{scene.target.url}/v1/abcdefghijklmnopqrstuvwxyz?key=k3y-k3y-k3y&n=1",
        "method": "POST",
        "headers": {
            "Authorization": SECRET,
            "X-Token": "Token ${env:AMP_JOB_TOKEN}",
            "Content-Type": "application/json",
        },
        "body": {"token": "${env:AMP_JOB_TOKEN}", "price": "${5}", "login": {"password": "sw0rdfish"}},
    }
    for usually in (echo, lambda got: echo(got).replace(b"200 OK", b"400 Bad")):
        scene.target.got.clear()
        scene.target.usually = usually
        with capture_logs() as logs:
            job = await scene.run(job_input)
        (got,) = scene.target.got
        assert (got.headers["authorization"], got.headers["x-token"]) == (SECRET, "Token t0ps3cret")
        assert json.loads(got.body) == {
            "token": "t0ps3cret",
            "price": "${5}",
            "login": {"password": "sw0rdfish"},
        }
        assert got.path == "/v1/abcdefghijklmnopqrstuvwxyz?key=k3y-k3y-k3y&n=1"
        seen = await scene.everything_that_is_shown(job.id) + str(logs)
        for secret in ("hunter2", "t0ps3cret", "k3y-k3y-k3y", "sw0rdfish"):
            assert secret not in seen
        kept = job.result or (job.last_error or {})["error_context"]
        echoed = json.loads(kept["body"])
        assert (echoed["headers"]["authorization"], echoed["headers"]["x-token"]) == ("***", "Token ***")
        assert echoed["path"] == "/v1/abcdefghijklmnopqrstuvwxyz?key=***&n=1"
        assert kept["headers"]["etag"] == "***"
    assert job.input == {
        "url": f"{scene.target.url}/v1/***?***",
        "method": "POST",
        "headers": {
            "Authorization": "***",
            "X-Token": "Token ${env:AMP_JOB_TOKEN}",
            "Content-Type": "application/json",
        },
        "body": {"token": "${env:AMP_JOB_TOKEN}", "price": "${5}", "login": {"password": "***"}},
    }


async def test_a_url_may_hold_placeholders_and_is_checked_when_they_are_put_in(scene: Scene) -> None:
    url = f"http://${{env:AMP_JOB_HOST}}:{scene.target.port}/x?t=${{env:AMP_JOB_TOKEN}}"
    job = await scene.run({"url": url})
    assert (job.state, job.input["url"]) == (JobState.COMPLETED, url)
    assert scene.target.got[0].path == "/x?t=t0ps3cret"
    for changes, reason in (
        ({"url": "${env:AMP_JOB_HOST}"}, "want a URL"),
        ({"headers": {"X-Token": "${env:AMP_JOB_BROKEN}"}}, "printable ASCII"),
        ({"headers": {"X-Token": "${env:AMP_JOB_UNSET}"}}, "'AMP_JOB_UNSET', which is not set"),
    ):
        error = await scene.error_of(changes, retries=3)
        assert error["error_code"] == "INVALID_JOB_INPUT"
        assert reason in error["error_message"]


# --- inputs

INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "no URL": ({"url": None}, "url"),
    "a file": ({"url": "file:///etc/passwd"}, "url: want a URL such as https://"),
    "no host": ({"url": "https:///x"}, "url: want a URL"),
    "a space": ({"url": "https://a b/"}, "url: it has spaces"),
    "a fragment": ({"url": "https://a/#b"}, "behind a '#'"),
    "a port": ({"url": "https://a:99999/"}, "url: "),
    "a method": ({"method": "TRACE"}, "method: want one of GET"),
    "a body for GET": ({"body": 1}, "a GET has no body"),
    "a header of the wire": ({"headers": {"Host": "a"}}, "headers: 'Host' is not for a job to set"),
    "a header twice": ({"headers": {"A": "1", "a": "2"}}, "'a' is given twice"),
    "a header's name": ({"headers": {"a b": "1"}}, "names of HTTP headers"),
    "a header's value": ({"headers": {"A": "hunter2\r\nB: 1"}}, "'A': want printable ASCII"),
    "a variable of ours": ({"headers": {"A": "${env:HOME}"}}, "begin with AMP_JOB_"),
    "a variable in the body": ({"method": "POST", "body": [{"a": "${env:AMP_CONFIG_X}"}]}, "body: ${env:AMP_CONFIG_X}"),
    "a variable in the URL": ({"url": "https://a/${env:PATH}"}, "url: ${env:PATH}"),
    "a status": ({"expected_statuses": [99]}, "expected_statuses: want statuses"),
    "a range": ({"retryable_statuses": ["504-500"]}, "retryable_statuses: want statuses"),
    "a timeout": ({"timeout_secs": 0}, "timeout_secs"),
    "an unknown word": ({"header": {}}, "header: is not known"),
}


@pytest.mark.parametrize(("changes", "reason"), INPUTS.values(), ids=INPUTS)
def test_an_input_that_cannot_be_used_is_refused_without_its_values(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(AmpError) as refused:
        HTTP.take_apart({"url": "https://example.com/"} | changes)
    assert refused.value.code == "INVALID_JOB_INPUT"
    assert reason in refused.value.message
    assert "hunter2" not in refused.value.message


async def test_a_stop_waits_for_the_call_that_has_begun(scene: Scene) -> None:
    scene.target.usually = None
    job_id = await scene.create({"method": "POST"}, retries=5)

    async def has_come() -> bool:
        return len(scene.target.got) == 1

    await until("the call", has_come)
    await scene.store.request_stop(job_id, actor="test")

    async def is_stopping() -> bool:
        return (await scene.store.get(job_id)).state is JobState.STOPPING

    await until("the stop to be heard", is_stopping)
    scene.target.silence_ends.set()
    job = await scene.until_ended(job_id)
    assert job.state is JobState.STOPPED  # the server hung up: the stop cancels the retry
    assert len(scene.target.got) == 1
