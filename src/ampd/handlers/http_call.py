"""Runs jobs of kind ``http``: calls a URL once for each attempt, and keeps what was answered."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from ampd.errors import AmpError, ErrorCode
from ampd.handlers.context import HandlerContext
from ampd.handlers.environment import Environment
from ampd.handlers.http_input import HTTP, HttpInput, check_header_value, check_url, hide_in_body
from ampd.handlers.kinds import Kind
from ampd.handlers.secrets import without
from ampd.webhooks.guarded import AddressRefusedError, CallError, GuardedHttp
from ampd.webhooks.schedule import parse_retry_after

USER_AGENT: Final = "ampd-jobs"
MOST_BODY_BYTES: Final = 16 * 1024
_MOST_KEPT_BYTES: Final = 48 * 1024
_SHOWN_HEADERS: Final = (
    *("content-type", "content-length", "content-encoding", "date", "etag", "last-modified", "location"),
    *("retry-after", "server", "x-request-id"),
)
_MOST_HEADER_CHARACTERS: Final = 512
_EXCERPT_CHARACTERS: Final = 1024


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes
    is_cut: bool


@dataclass(frozen=True)
class _Call:
    """A request with everything put in, and what must not be seen of it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    secrets: frozenset[str]


def http_kind(http: GuardedHttp, variables: Mapping[str, str] = os.environ) -> Kind:
    """Return the kind that calls through ``http``; placeholders are replaced by ``variables``."""

    async def run(job: HttpInput, context: HandlerContext) -> dict[str, Any]:
        return await _run(http, variables, job, context)

    return Kind(HTTP.name, HTTP.input_model, run=run)


async def _run(
    http: GuardedHttp, variables: Mapping[str, str], job: HttpInput, context: HandlerContext
) -> dict[str, Any]:
    """Call, and return the result. Once the call has begun it is waited for, also when the job is stopped: it may have
    done what it should.
    """
    context.check_cancelled()
    call = _call_of(job, Environment(variables), context.idempotency_key)
    began = time.monotonic()
    try:
        answer = await http.exchange(call.method, call.url, call.headers, call.body, _read, seconds=job.timeout_secs)
    except AddressRefusedError as error:
        raise AmpError(
            ErrorCode.HTTP_ADDRESS_REFUSED,
            f"{error.reason}; http jobs reach the public internet, and what http_jobs.allowed_networks names",
        ) from None
    except CallError as error:
        raise AmpError(ErrorCode.HTTP_CALL_FAILED, f"the call failed: {error.reason}", recoverable=True) from None
    result = _result(answer, call.secrets, duration_ms=round((time.monotonic() - began) * 1000))
    context.log.info("http.answered", status=answer.status, duration_ms=result["duration_ms"])
    if not job.expects(answer.status):
        raise _refused(answer, result, recoverable=job.retries(answer.status))
    return result if job.keep_body else {key: value for key, value in result.items() if key != "body"}


def _call_of(job: HttpInput, environment: Environment, idempotency_key: str) -> _Call:
    url = environment.fill(job.url.get_secret_value())
    headers = {name: environment.fill(value.get_secret_value()) for name, value in job.headers.items()}
    body = environment.fill(job.body)
    try:
        check_url(url)
        for value in headers.values():
            check_header_value(value)
    except ValueError as error:
        raise AmpError(
            ErrorCode.INVALID_JOB_INPUT, f"the URL or a header is not valid once its variables are put in: {error}"
        ) from None
    secrets = {*environment.used, *_keys_of(url), *(value for _, value in hide_in_body(body)[1])}
    for name, value in job.headers.items():
        if value.shown() != value.get_secret_value():
            secrets |= _parts_of(headers[name])
    names = {name.lower() for name in headers}
    if "idempotency-key" not in names:
        headers["Idempotency-Key"] = idempotency_key
    if body is not None and "content-type" not in names:
        headers["Content-Type"] = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
    return _Call(job.method, url, headers, _bytes_of(body), frozenset(secrets))


def _bytes_of(body: Any) -> bytes:
    if body is None:
        return b""
    return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()


def _parts_of(value: str) -> set[str]:
    """Return the value of a header, and what it has behind a word such as Bearer."""
    return {value, value.partition(" ")[2].strip()} - {""}


def _keys_of(url: str) -> set[str]:
    """Return the values of a URL's parameters: receivers that echo them echo keys."""
    return {value for _, value in parse_qsl(urlsplit(url).query)}


async def _read(response: httpx.Response) -> _Answer:
    """Read the answer, and of its body no more than is kept. One that breaks off before that has not come."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            break
    return _Answer(response.status_code, response.headers, bytes(body[:MOST_BODY_BYTES]), len(body) > MOST_BODY_BYTES)


def _result(answer: _Answer, secrets: Iterable[str], *, duration_ms: int) -> dict[str, Any]:
    hidden = [form for secret in secrets for form in (secret, json.dumps(secret)[1:-1], quote(secret))]
    headers = {
        name: without(answer.headers[name], hidden)[:_MOST_HEADER_CHARACTERS]
        for name in _SHOWN_HEADERS
        if name in answer.headers
    }
    text = without(answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd"), hidden)
    kept = _fitting(text)
    return {
        "status": answer.status,
        "headers": headers,
        "body": kept,
        "body_truncated": answer.is_cut or len(kept) < len(text),
        "duration_ms": duration_ms,
    }


def _fitting(text: str) -> str:
    """Return so much of ``text`` as is no larger than a result may be once it is JSON: some characters become six."""
    while len(json.dumps(text, ensure_ascii=False).encode()) > _MOST_KEPT_BYTES:
        text = text[: len(text) * 3 // 4]
    return text


def _refused(answer: _Answer, result: dict[str, Any], *, recoverable: bool) -> AmpError:
    asked = parse_retry_after(answer.headers.get("Retry-After"), now=_time_of(answer.headers)) if recoverable else None
    return AmpError(
        ErrorCode.HTTP_STATUS_REFUSED,
        f"the answer's status is {answer.status}, which is none of expected_statuses",
        recoverable=recoverable,
        context={**result, "body": result["body"][:_EXCERPT_CHARACTERS]},
        retry_after_seconds=asked,
    )


def _time_of(headers: httpx.Headers) -> float:
    """Return the time of who answers, in seconds since 1970: ``Retry-After`` may name a moment by that clock."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()
