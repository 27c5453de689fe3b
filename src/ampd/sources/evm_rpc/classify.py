"""What to do about a fault of a node: six reactions, and one table of what providers say (pure, no I/O).

``-32000`` and HTTP statuses say little, so that texts are looked at first, then codes, then statuses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

from ampd.errors import ErrorCode


class Reaction(StrEnum):
    """What helps against a fault."""

    RETRY_SAME = "RETRY_SAME"  # passing: the same request to the same endpoint again
    SLOW_DOWN = "SLOW_DOWN"  # too many requests: all requests to the endpoint wait, then fewer at a time
    SHRINK = "SHRINK"  # asked for too much at once
    ROTATE = "ROTATE"  # this endpoint does not know or does not tell the truth: another one may
    UNSUPPORTED = "UNSUPPORTED"  # this endpoint never answers this method
    FATAL = "FATAL"  # this endpoint never answers us


@dataclass(frozen=True)
class Verdict:
    """A reaction, and what the provider asked for along with it.

    ``pause_seconds`` is how long it wants to be left alone; ``suggested`` how much (blocks, calls, results, bytes) it
    allows at once; ``allowed_per_second`` how many requests a second. ``lasting`` says that waiting is of no use: a
    quota is used up until some midnight.
    """

    reaction: Reaction
    pause_seconds: float | None = None
    suggested: int | None = None
    allowed_per_second: float | None = None
    lasting: bool = False


LASTING_PAUSE_SECONDS: Final = 600.0
INVALID_PARAMS: Final = -32602

_RETRY, _SLOW, _SHRINK = Reaction.RETRY_SAME, Reaction.SLOW_DOWN, Reaction.SHRINK
_ROTATE, _UNSUPPORTED, _FATAL = Reaction.ROTATE, Reaction.UNSUPPORTED, Reaction.FATAL


def _text(pattern: str, reaction: Reaction, *, lasting: bool = False) -> tuple[re.Pattern[str], Reaction, bool]:
    return re.compile(pattern, re.IGNORECASE), reaction, lasting


# What providers say, first match first. A group named `most` is what they allow; `low` and `high` are a range.
_HEX: Final = r"0x[0-9a-f]+"
_TEXTS: Final = (
    # Ranges and sizes; several come under the codes of rate limits.
    _text(rf"this block range should work: \[(?P<low>{_HEX}), ?(?P<high>{_HEX})\]", _SHRINK),  # Alchemy
    _text(rf"try with this block range \[(?P<low>{_HEX}), ?(?P<high>{_HEX})\]", _SHRINK),  # Infura, zkSync
    _text(r"maximum is set to (?P<most>\d+)", _SHRINK),  # Avalanche
    _text(r"max(?:imum)? (?:block )?range:? (?P<most>\d+)", _SHRINK),  # Cloudflare, PublicNode, Hyperliquid
    _text(r"range is too large, max is (?P<most>\d+)(?P<thousands>k)? blocks", _SHRINK),
    _text(r"exceeds the range allowed for your plan \(\d+ > (?P<most>\d+)\)", _SHRINK),
    _text(r"query returned more than (?P<most>\d+) results", _SHRINK),
    _text(r"query exceeds max(?:imum)? results(?: (?P<most>\d+))?", _SHRINK),  # reth, llama, Ankr
    _text(r"logs matched by query exceeds limit of (?P<most>\d+)", _SHRINK),  # Arbitrum
    _text(r"response size (?:should not|exceed\w*|is) (?:greater|larger)? ?(?:than )?(?P<most>\d+)? ?bytes", _SHRINK),
    _text(r"block range (?:is )?too (?:wide|large)|block range limit exceeded", _SHRINK),  # Ankr, OP, Base, Chainstack
    _text(r"(?:backend )?response (?:is )?too large|response size exceeded|request entity too large", _SHRINK),
    _text(r"no backend is currently healthy", _SHRINK),  # Base: what its balancer says of wide queries
    _text(r"batch (?:size )?(?:is )?too large|batch limit|too many (?:calls|requests) in (?:a |the )?batch", _SHRINK),
    _text(r"batch(?:es| requests?| calls?)? (?:is |are )?(?:not supported|not allowed|disabled)", _SHRINK),
    _text(r"(?:query|execution|request) (?:timeout|timed out)|execution aborted \(timeout", _SHRINK),
    # Rate limits
    _text(r"usage limit|credits? (?:exhausted|exceeded)", _SLOW, lasting=True),
    _text(r"(?:daily|monthly) (?:request )?(?:count|limit|quota)", _SLOW, lasting=True),
    _text(r"compute units?.{0,40}(?:exceeded|limit|capacity)|capacity exceeded", _SLOW),  # Infura, Alchemy
    _text(r"too many requests|rate ?-?limit|request limit|requests? per second|exceeded.{0,30}throughput", _SLOW),
    _text(r"limit exceeded|quota exceeded|throttl|slow down|retry (?:in|after) \d", _SLOW),
    _text(r"limited to (?:a )?(?P<most>[\d,]*\d)", _SHRINK),  # QuickNode, 1rpc, Blast, BlockPI
    # Methods
    _text(r"not whitelisted|unsupported method", _UNSUPPORTED),
    _text(r"method (?:\S+ )?(?:is )?not (?:found|supported|available|allowed|enabled)", _UNSUPPORTED),
    _text(r"does not exist/is not available|method (?:\S+ )?(?:does not exist|is disabled)", _UNSUPPORTED),
    # Nodes that lag, prune, index, or do not know
    _text(r"(?:header|block|receipts?|hash|transaction) (?:\S+ )?(?:was )?not found", _ROTATE),
    _text(r"unknown block|block does not exist", _ROTATE),
    _text(r"missing trie node|pruned|historical state|ancient|state (?:is )?not available", _ROTATE),
    _text(r"transaction indexing is in progress|cannot query unfinalized data|invalid block height", _ROTATE),
    _text(r"extends beyond current head|after last accepted block|is not synced|still syncing|node is behind", _ROTATE),
    # Who we are
    _text(r"unauthori[sz]ed|forbidden|invalid (?:api|project|access) ?(?:key|id|token)|must be authenticated", _FATAL),
    # Passing
    _text(r"time(?:d )?-?out|temporarily unavailable|internal (?:server )?error", _RETRY),
    _text(r"connection (?:reset|refused)|try again", _RETRY),
)  # fmt: skip

_CODES: Final = {
    429: _SLOW,
    -32005: _SLOW,  # limit exceeded (EIP-1474)
    -32007: _SLOW,  # QuickNode
    -32016: _SLOW,  # Base
    -32029: _SLOW,  # OnFinality
    -32090: _SLOW,
    -32097: _SLOW,
    -32601: _UNSUPPORTED,
    -32004: _UNSUPPORTED,  # EIP-1474
    -32001: _ROTATE,  # resource not found (EIP-1474)
    4444: _ROTATE,  # pruned history
    -32002: _RETRY,  # resource unavailable
    -32603: _RETRY,  # internal error
    -32600: _FATAL,
    INVALID_PARAMS: _FATAL,
    -32700: _FATAL,
    401: _FATAL,
    403: _FATAL,
    413: _SHRINK,
}
_STATUSES: Final = {
    401: _FATAL,
    403: _FATAL,
    402: _SLOW,  # pay first: a quota is used up
    413: _SHRINK,
    429: _SLOW,
    **dict.fromkeys((408, 425, *range(500, 600)), _RETRY),
}
_REQUEST_IS_REFUSED: Final = frozenset({402})

_OF_ERROR_CODE: Final = {
    ErrorCode.NODE_UNREACHABLE: _RETRY,
    ErrorCode.NODE_RATE_LIMITED: _SLOW,
    ErrorCode.NODE_METHOD_UNSUPPORTED: _UNSUPPORTED,
    ErrorCode.NODE_REFUSED_ACCESS: _FATAL,
    ErrorCode.NETWORK_MISMATCH: _FATAL,
    **dict.fromkeys(
        (
            ErrorCode.NODE_ANSWERED_ERROR,
            ErrorCode.NODE_ANSWER_NOT_JSON,
            ErrorCode.NODE_ANSWER_MALFORMED,
            ErrorCode.BLOCK_NOT_AVAILABLE,
            ErrorCode.RECEIPTS_NOT_AVAILABLE,
            ErrorCode.BLOCK_NUMBER_MISMATCH,
            ErrorCode.PARENT_HASH_MISMATCH,
            ErrorCode.RECEIPT_COUNT_MISMATCH,
            ErrorCode.RECEIPT_BLOCK_MISMATCH,
            ErrorCode.RECEIPT_ORDER_MISMATCH,
            ErrorCode.TRANSACTION_ORDER_MISMATCH,
            ErrorCode.LOG_INDEX_MISMATCH,
            ErrorCode.LOG_REMOVED,
        ),
        _ROTATE,
    ),
}

_WAIT_TEXT: Final = re.compile(
    r"(?:retry|try again|wait)(?: \w+){0,2} (?P<count>\d+(?:\.\d+)?) ?(?P<unit>ms|s|m)?", re.I
)
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


def reaction_to(code: ErrorCode) -> Reaction | None:
    """Return what helps against an answer that our checks refused; None when the error is not a node's."""
    return _OF_ERROR_CODE.get(code)


def classify_rpc_error(error: Any) -> Verdict:
    """Judge the ``error`` of a JSON-RPC answer (any JSON: nodes do not keep to objects)."""
    code, text, data = _parts(error)
    verdict = _of_text(text) or Verdict(_CODES.get(code, _ROTATE) if code is not None else _ROTATE)
    return _with_hints(verdict, text, data)


def classify_http(status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Judge an HTTP answer whose ``status`` is not 200; ``headers`` are looked up in lower case.

    A 429 is a rate limit whatever its text says, 401 is ours to mend; elsewhere the text may know better.
    """
    error = _error_in(body)
    code, text, data = _parts(error)
    by_status = _STATUSES.get(status, _ROTATE)
    verdict = Verdict(by_status, lasting=status in _REQUEST_IS_REFUSED)
    by_text = _of_text(text)
    if by_text is not None and (status not in (401, 413, 429) or by_text.reaction == by_status):
        verdict = by_text
    elif by_text is None and code in _CODES and status not in _STATUSES:
        verdict = Verdict(_CODES[code])
    wait = retry_after_seconds(headers)
    if wait is not None and status == 503:
        verdict = Verdict(_SLOW)
    verdict = _with_hints(verdict, text, data)
    return verdict if wait is None else replace(verdict, pause_seconds=wait)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return what ``Retry-After`` asks for: seconds, or a moment (held against the answer's own ``Date``)."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        moment, now = _moment(text), _moment(headers.get("date", ""))
        if moment is None:
            return None
        return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
    return max(0.0, seconds) if seconds < float("inf") else None


def pause_in_text(text: str) -> float | None:
    """Return the seconds that a text wants to be waited for, as in "try again in 17s"."""
    found = _WAIT_TEXT.search(text)
    return found and float(found["count"]) * _UNIT_SECONDS[found["unit"] and found["unit"].lower()]


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _of_text(text: str) -> Verdict | None:
    for pattern, reaction, lasting in _TEXTS:
        found = pattern.search(text)
        if found is not None:
            suggested = _suggested(found.groupdict()) if reaction is _SHRINK else None
            return Verdict(reaction, suggested=suggested, lasting=lasting)
    return None


def _suggested(groups: Mapping[str, str | None]) -> int | None:
    low, high, most = groups.get("low"), groups.get("high"), groups.get("most")
    if low is not None and high is not None:
        return max(1, int(high, 16) - int(low, 16) + 1)
    if most is None:
        return None
    return max(1, int(most.replace(",", "")) * (1000 if groups.get("thousands") else 1))


def _parts(error: Any) -> tuple[int | None, str, Any]:
    """Return code, text and data of an error of any shape."""
    if not isinstance(error, dict):
        return None, "" if error is None else str(error), None
    code, data = error.get("code"), error.get("data")
    if isinstance(code, str) and code.lstrip("-").isdigit():
        code = int(code)
    # Some keep what matters in `data`.
    more = data if isinstance(data, str) else ""
    text = f"{error.get('message', '')} {more}".strip()
    return (code if isinstance(code, int) else None), text, data


def _error_in(body: bytes) -> Any:
    """Return the JSON-RPC error in the body of an HTTP error, else its text."""
    text = body[:4096].decode("utf-8", "replace")
    try:
        answer = json.loads(body)
    except ValueError:
        return text
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if isinstance(answer, dict):
        return answer.get("error") or answer
    return text


def _with_hints(verdict: Verdict, text: str, data: Any) -> Verdict:
    if verdict.reaction is not _SLOW:
        return verdict
    pause, allowed = _hints_in(data)
    if pause is None:
        pause = pause_in_text(text)
    if pause is None and verdict.lasting:
        pause = LASTING_PAUSE_SECONDS
    return replace(verdict, pause_seconds=pause, allowed_per_second=allowed)


def _hints_in(data: Any) -> tuple[float | None, float | None]:
    """Return ``backoff_seconds`` and ``allowed_rps``, which Infura sends, in ``data`` or in its ``rate``."""
    if not isinstance(data, dict):
        return None, None
    if isinstance(data.get("rate"), dict):
        data = {**data, **data["rate"]}
    return _positive(data.get("backoff_seconds")), _positive(data.get("allowed_rps")) or None


def _positive(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return float(value)
