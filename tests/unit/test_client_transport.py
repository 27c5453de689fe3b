from __future__ import annotations

import json
import socket

import httpx
import pytest

from ampd.client import Ampd, ApiError, AsyncAmpd

JOB = {
    "id": 1,
    "status": "RUNNING",
    "lifecycle": "running",
    "kind": "noop",
    "dataset": None,
    "manifest_hash": None,
    "worker_id": "w",
    "node_id": "w",
    "descriptor": {},
    "end_block": None,
    "parallelism": 1,
    "priority": 0,
    "run_at": "2026-03-04T10:00:00Z",
    "labels": {},
    "execution_number": 1,
    "retries": None,
    "retry_count": 0,
    "depends_on": [],
    "last_error": None,
    "waiting_for": None,
    "created_at": "2026-03-04T10:00:00Z",
    "updated_at": "2026-03-04T10:00:00Z",
    "a_key_of_a_newer_server": 1,
}


def client_of(answer: httpx.Response, seen: list[httpx.Request] | None = None, token: str | None = None) -> Ampd:
    """Return a client whose server always answers ``answer``."""

    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return answer

    return Ampd("http://user:hunter2@amp.test", token, transport=httpx.MockTransport(handle))


def test_unknown_keys_are_kept_in_raw_and_otherwise_ignored() -> None:
    job = client_of(httpx.Response(200, json=JOB)).jobs.get(1)
    assert (job.id, job.dataset, job.created_at.isoformat()) == (1, None, "2026-03-04T10:00:00+00:00")
    assert job.raw["a_key_of_a_newer_server"] == 1


def test_the_token_goes_along_and_parts_of_paths_are_quoted() -> None:
    seen: list[httpx.Request] = []
    client = client_of(httpx.Response(404, json={"error_code": "X", "error_message": "y"}), seen, token="t0ken")
    with pytest.raises(ApiError):
        client.workers.get("a/../b?c")
    assert seen[0].headers["authorization"] == "Bearer t0ken"
    assert seen[0].url.raw_path == b"/workers/a%2F..%2Fb%3Fc"


def test_only_the_given_options_of_a_deploy_are_sent() -> None:
    seen: list[httpx.Request] = []
    client = client_of(httpx.Response(202, json={"job_id": 7}), seen)
    assert client.datasets.deploy("pkg:amp/a/x", end_block=5, verify=False) == 7
    assert seen[0].url.path == "/datasets/a/x/versions/latest/deploy"
    assert json.loads(seen[0].content) == {"end_block": 5, "verify": False}


@pytest.mark.parametrize("token", ["two\nlines", "ümlaut", "\x7f"])
def test_a_token_that_no_header_can_carry_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as refused:
        Ampd(auth_token=token)
    assert token not in str(refused.value)


@pytest.mark.parametrize("reference", ["", "a", "a/", "/x", "a/x@", "a/x@1@2", "a/b/x"])
def test_a_text_that_is_no_reference_is_refused_before_anything_is_sent(reference: str) -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(ApiError) as refused:
        client_of(httpx.Response(200), seen).datasets.inspect(reference)
    assert refused.value.code == "INVALID_REFERENCE"
    assert not seen


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"id": 1}),
        httpx.Response(200, json=[]),
        httpx.Response(502, text="bad gateway"),
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(302, headers={"location": "https://elsewhere"}),
    ],
)
def test_a_server_that_is_no_admin_api_is_called_so_without_the_secrets_of_its_url(answer: httpx.Response) -> None:
    with pytest.raises(ApiError) as refused:
        client_of(answer).jobs.get(1)
    assert refused.value.code == "UNEXPECTED_ANSWER"
    assert refused.value.status == answer.status_code
    assert "--admin-url" in refused.value.message
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("url", ["localhost:1610", "ftp://x", "", "http://", "http://[::1", "http://host:port"])
def test_a_text_that_is_no_address_is_refused_with_where_it_comes_from(url: str) -> None:
    with pytest.raises(ApiError) as refused, Ampd(url) as client:
        client.jobs.get(1)
    assert refused.value.code == "ADMIN_API_UNREACHABLE"
    assert "AMP_ADMIN_URL" in refused.value.message


async def test_a_server_that_is_not_there_is_an_error_with_the_mend() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://user:hunter2@127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ApiError) as refused, Ampd(url) as client:
            client.jobs.list()
        async with AsyncAmpd(url) as client:
            with pytest.raises(ApiError) as also_refused:
                await client.jobs.list()
    assert refused.value.message == also_refused.value.message
    assert (refused.value.code, refused.value.status) == ("ADMIN_API_UNREACHABLE", None)
    assert "running?" in refused.value.message
    assert "AMP_ADMIN_URL" in refused.value.message
    assert "hunter2" not in refused.value.message


def test_a_proxy_of_the_environment_never_stands_before_our_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Ampd(url, timeout=0.2) as client, pytest.raises(ApiError):
            client.jobs.get(1)
        connection, _ = server.accept()
        connection.close()
