"""What went wrong with a call of a Firehose server, as an error for people, and what may help against it."""

from __future__ import annotations

import re
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from ampd.errors import AmpError, ErrorCode
from ampd.firehose_wire import ERROR_DETAILS, RETRY_INFO
from ampd.firehose_wire import firehose_pb2 as pb
from ampd.sources.evm_rpc.classify import pause_in_text, retry_after_seconds

_MOST_TEXT: Final = 200
# A proxy before the server answers in HTTP, of which gRPC makes UNAVAILABLE, and the number goes into the text.
_LIMIT_TEXT: Final = re.compile(r"\b429\b|rate.?limit|too many requests|quota|throttl", re.I)
# The same status, and no wish of the server's: our own library refuses what it has sent.
_TOO_LARGE_TEXT: Final = re.compile(r"message larger than max", re.I)
_REFUSED: Final = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class FirehoseFault(AmpError):  # noqa: N818 - it is the server that is at fault
    """A fault. ``refuses_cursor``: the server does not know the place at which it was to go on; ``lacks_method``: it
    has no such call; ``not_found``: it has no such block. ``wants_rest``: it wants to be left alone, for
    ``pause_seconds`` when it says so.
    """

    refuses_cursor = False
    lacks_method = False
    not_found = False
    wants_rest = False
    pause_seconds: float | None = None


def fault_of(error: grpc.RpcError, shown_url: str, method: str) -> FirehoseFault:
    """Return the fault behind an error of gRPC."""
    status: Any = error.code()
    text = " ".join(str(error.details() or "").split())[:_MOST_TEXT]
    where = f"the Firehose server at {shown_url} answered {method} with {status.name}: {text}"
    if status in _REFUSED:
        mend = "check the provider's token and url, then deploy again"
        return FirehoseFault(ErrorCode.NODE_REFUSED_ACCESS, f"{where}. {mend}")
    if status is grpc.StatusCode.UNIMPLEMENTED:
        mend = "Extraction needs this call: is the provider's url that of a Firehose server (version 2)?"
        fault = FirehoseFault(ErrorCode.NODE_METHOD_UNSUPPORTED, f"{where}. {mend}")
        fault.lacks_method = True
        return fault
    pause, is_limit = _told_pause(error), _is_rate_limit(status, text)
    if pause is None and (is_limit or status is grpc.StatusCode.UNAVAILABLE):
        pause = pause_in_text(text)
    if is_limit:
        fault = FirehoseFault(ErrorCode.NODE_RATE_LIMITED, where, recoverable=True)
    elif status is grpc.StatusCode.UNAVAILABLE:
        mend = "Check the provider's url and that the server is up"
        message = f"cannot reach the Firehose server at {shown_url}: {text}. {mend}"
        fault = FirehoseFault(ErrorCode.NODE_UNREACHABLE, message, recoverable=True)
    else:
        fault = FirehoseFault(ErrorCode.NODE_ANSWERED_ERROR, where, recoverable=True)
    fault.wants_rest, fault.pause_seconds = is_limit or pause is not None, pause
    fault.refuses_cursor = status is grpc.StatusCode.INVALID_ARGUMENT
    fault.not_found = status is grpc.StatusCode.NOT_FOUND
    return fault


def _is_rate_limit(status: Any, text: str) -> bool:
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return not _TOO_LARGE_TEXT.search(text)
    return status is grpc.StatusCode.UNAVAILABLE and bool(_LIMIT_TEXT.search(text))


def _told_pause(error: grpc.RpcError) -> float | None:
    """Return for how many seconds the server wants to be left alone, as it says beside the status."""
    trailers = {str(key).lower(): value for key, value in error.trailing_metadata() or ()}
    told = _retry_delay(trailers.get(ERROR_DETAILS, b""))
    after = trailers.get("retry-after")
    return retry_after_seconds({"retry-after": after}) if told is None and isinstance(after, str) else told


def _retry_delay(details: bytes) -> float | None:
    """Return what the details of an error say; nothing when they are no message: the status stands for itself."""
    try:
        for detail in pb.ErrorStatus.FromString(details).details:
            if detail.type_url == RETRY_INFO:
                delay = pb.RetryInfo.FromString(detail.value).retry_delay
                return max(0.0, float(delay.seconds + delay.nanos / 1e9))
    except DecodeError:
        return None
    return None


def resting(shown_url: str, seconds: float) -> FirehoseFault:
    """Return the fault of a server that wants to be left alone for longer than anybody waits here."""
    message = f"the Firehose server at {shown_url} wants no requests for another {seconds:.0f} s"
    return FirehoseFault(ErrorCode.NODE_RATE_LIMITED, message, recoverable=True)


def silent(shown_url: str, method: str, seconds: float) -> FirehoseFault:
    """Return the fault of a server that sends nothing where blocks should come."""
    message = (
        f"the Firehose server at {shown_url} has sent nothing to {method} for {seconds:g} s. "
        "Check the server, or raise the provider's timeout_secs"
    )
    return FirehoseFault(ErrorCode.NODE_UNREACHABLE, message, recoverable=True)


def malformed(shown_url: str, what: str) -> FirehoseFault:
    """Return the fault of an answer that is none."""
    message = f"the Firehose server at {shown_url} sent {what}"
    return FirehoseFault(ErrorCode.NODE_ANSWER_MALFORMED, message, recoverable=True)
