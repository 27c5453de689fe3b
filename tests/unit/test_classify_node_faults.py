"""What helps against what providers say: their recorded texts, and laws that hold for any text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampd.errors import ErrorCode
from ampd.sources.evm_rpc.classify import (
    LASTING_PAUSE_SECONDS,
    Reaction,
    Verdict,
    classify_http,
    classify_rpc_error,
    reaction_to,
    retry_after_seconds,
)

RETRY_SAME, SLOW_DOWN, SHRINK, ROTATE, UNSUPPORTED, FATAL = Reaction
LASTING = Verdict(SLOW_DOWN, LASTING_PAUSE_SECONDS, lasting=True)
CONFORMANCE = Path(__file__).parents[1] / "data" / "conformance"


def verdict(code: int | None, message: str, data: Any = None) -> Verdict:
    return classify_rpc_error({"code": code, "message": message, "data": data})


@pytest.mark.parametrize(
    ("code", "message", "data", "expected"),
    [
        (429, "Your app has exceeded its compute units per second capacity", None, Verdict(SLOW_DOWN)),
        (-32005, "daily request count exceeded, request rate limited", None, LASTING),
        (-32005, "limit exceeded", {"backoff_seconds": 30, "allowed_rps": 10}, Verdict(SLOW_DOWN, 30.0, None, 10.0)),
        (-32005, "x", {"rate": {"backoff_seconds": 1.5, "allowed_rps": 4}}, Verdict(SLOW_DOWN, 1.5, None, 4.0)),
        (-32005, "compute unit quota exceeded", None, Verdict(SLOW_DOWN)),
        (-32001, "usage limit", None, LASTING),
        (-32029, "Too Many Requests", None, Verdict(SLOW_DOWN)),
        (-32007, "50/second request limit reached", None, Verdict(SLOW_DOWN)),
        (-32016, "over rate limit", None, Verdict(SLOW_DOWN)),
        (-32090, "Too many requests, reason: call rate limit exhausted, retry in 10s", None, Verdict(SLOW_DOWN, 10.0)),
        (-32000, "rate limited: try again in 250ms", None, Verdict(SLOW_DOWN, 0.25)),
        (None, "Please slow down", None, Verdict(SLOW_DOWN)),
    ],
)  # fmt: skip
def test_rate_limits_slow_down_by_as_much_as_is_asked_for(
    code: int, message: str, data: Any, expected: Verdict
) -> None:
    assert verdict(code, message, data) == expected


@pytest.mark.parametrize(
    ("code", "message", "suggested"),
    [
        (-32602, "Log response size exceeded. this block range should work: [0x10, 0x1f]", 16),
        (-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2].", 2),
        (-32614, "eth_getLogs is limited to a 10,000 range", 10000),
        (-32000, "eth_getLogs is limited to 1024 block range", 1024),
        (-32005, "query returned more than 10000 results", 10000),
        (-32602, "query exceeds max results 20000, retry with the range 1-2", 20000),
        (-32047, "Max range: 800", 800),
        (-32000, "requested too many blocks from 1 to 9000, maximum is set to 2048", 2048),
        (-32600, "block range is too wide", None),
        (-32020, "backend response too large", None),
        (-32000, "Block range is too large", None),
        (-32011, "no backend is currently healthy", None),
        (-32000, "logs matched by query exceeds limit of 10000", 10000),
        (-32000, "Block range limit exceeded. See more details at https://docs.example", None),
        (-32701, "exceed maximum block range: 50000", 50000),
        (-32000, "query exceeds max block range 1000", 1000),
        (-32008, "response size should not greater than 150000000 bytes", 150000000),
        (-32000, "eth_getLogs range is too large, max is 10k blocks", 10000),
        (-32000, "exceeds the range allowed for your plan (200 > 100)", 100),
        (-32000, "query timeout exceeded", None),
        (-32000, "batch too large", None),
        (-32600, "batch requests are not supported", None),
    ],
)
def test_what_is_too_much_shrinks_to_what_is_allowed(code: int, message: str, suggested: int | None) -> None:
    assert verdict(code, message) == Verdict(SHRINK, suggested=suggested)


@pytest.mark.parametrize(
    ("code", "message", "reaction"),
    [
        (-32601, "the method eth_getBlockReceipts does not exist/is not available", UNSUPPORTED),
        (-32601, "Method not found", UNSUPPORTED),
        (-32000, "Method eth_getBlockReceipts is not supported", UNSUPPORTED),
        (-32001, "rpc method is not whitelisted", UNSUPPORTED),
        (-32004, "", UNSUPPORTED),
        (-32000, "header not found", ROTATE),
        (-32000, "missing trie node d4e5 (path ) state is not available", ROTATE),
        (-32000, "transaction indexing is in progress", ROTATE),
        (-32000, "cannot query unfinalized data", ROTATE),
        (-32603, "invalid block height: 12", ROTATE),
        (-32001, "resource not found", ROTATE),
        (4444, "pruned history unavailable", ROTATE),
        (-32602, "block range extends beyond current head block", ROTATE),
        (-32000, "who knows", ROTATE),
        (-32603, "Internal error", RETRY_SAME),
        (-32002, "resource unavailable", RETRY_SAME),
        (-32000, "request timed out, try again", SHRINK),
        (-32000, "service temporarily unavailable", RETRY_SAME),
        (-32602, "invalid argument 0: hex string without 0x prefix", FATAL),
        (-32000, "Unauthorized: invalid api key", FATAL),
    ],
)
def test_texts_decide_before_codes(code: int, message: str, reaction: Reaction) -> None:
    assert verdict(code, message).reaction == reaction


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (429, {}, b"", Verdict(SLOW_DOWN)),
        (429, {"retry-after": "7"}, b"<html>no</html>", Verdict(SLOW_DOWN, 7.0)),
        (429, {}, b'{"error":{"code":-32007,"message":"50/second request limit reached"}}', Verdict(SLOW_DOWN)),
        (429, {}, b'{"code":429,"message":"try again in 3 seconds"}', Verdict(SLOW_DOWN, 3.0)),
        (429, {}, b"query returned more than 10 results", Verdict(SLOW_DOWN)),
        (402, {}, b"pay first", LASTING),
        (503, {"retry-after": "2"}, b"", Verdict(SLOW_DOWN, 2.0)),
        (503, {}, b"", Verdict(RETRY_SAME)),
        (500, {}, b"oops", Verdict(RETRY_SAME)),
        (524, {}, b"<html>cloud</html>", Verdict(RETRY_SAME)),
        (408, {}, b"", Verdict(RETRY_SAME)),
        (413, {}, b"Request Entity Too Large", Verdict(SHRINK)),
        (400, {}, b'{"error":{"code":-32600,"message":"block range is too wide"}}', Verdict(SHRINK)),
        (400, {}, b'{"error":{"code":-32601,"message":"nope"}}', Verdict(UNSUPPORTED)),
        (404, {}, b"no such path", Verdict(ROTATE)),
        (401, {}, b"rate limit", Verdict(FATAL)),
        (403, {}, b"forbidden", Verdict(FATAL)),
        (403, {}, b'{"error":{"message":"rate limit exceeded"}}', Verdict(SLOW_DOWN)),
    ],
)
def test_http_answers_are_judged_by_status_text_and_hints(
    status: int, headers: dict[str, str], body: bytes, expected: Verdict
) -> None:
    assert classify_http(status, headers, body) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_moment_by_the_clock_of_the_node(text: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": text, "date": "Wed, 21 Oct 2026 07:28:00 GMT"}) == seconds


def recorded_errors() -> list[Any]:
    lines = [line for path in CONFORMANCE.rglob("*.io") for line in path.read_text().splitlines()]
    answers = [json.loads(line[3:]) for line in lines if line.startswith("<< ")]
    return [answer["error"] for answer in answers if "error" in answer]


def test_the_errors_of_the_conformance_suite_are_known() -> None:
    found = {error["message"]: classify_rpc_error(error).reaction for error in recorded_errors()}
    assert found == {
        "block range extends beyond current head block": ROTATE,
        "invalid block range params": FATAL,
        "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other": FATAL,
    }


def test_answers_that_our_checks_refuse_are_asked_from_another_node() -> None:
    assert {reaction_to(code) for code in ErrorCode if code.name.endswith("_MISMATCH")} == {ROTATE, FATAL}
    assert reaction_to(ErrorCode.NETWORK_MISMATCH) is FATAL
    assert reaction_to(ErrorCode.BLOCK_NOT_AVAILABLE) is ROTATE
    assert reaction_to(ErrorCode.DATA_STORE_FULL) is None


KEYS = st.sampled_from(["code", "message", "data", "rate", "backoff_seconds", "allowed_rps", "error"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(error=JSON)
def test_whatever_a_node_sends_as_its_error_has_a_verdict_with_a_sane_pause(error: Any) -> None:
    assert_sane(classify_rpc_error(error))


@given(
    status=st.integers(100, 599),
    after=st.text(max_size=20),
    body=st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()),
)
def test_whatever_an_http_answer_holds_has_a_verdict_with_a_sane_pause(status: int, after: str, body: bytes) -> None:
    found = classify_http(status, {"retry-after": after}, body)
    assert_sane(found)
    assert (status != 429) or found.reaction is SLOW_DOWN
    assert (status != 401) or found.reaction is FATAL


def assert_sane(found: Verdict) -> None:
    assert found.pause_seconds is None or 0 <= found.pause_seconds < float("inf")
    assert found.suggested is None or (found.reaction is SHRINK and found.suggested >= 1)
    assert found.allowed_per_second is None or found.allowed_per_second > 0
