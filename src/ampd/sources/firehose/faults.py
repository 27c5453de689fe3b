"""What went wrong with a call of a Firehose server, as an error for people, and what may help against it."""

from __future__ import annotations

from typing import Any, Final

import grpc

from ampd.errors import AmpError, ErrorCode

_MOST_TEXT: Final = 200
_REFUSED: Final = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class FirehoseFault(AmpError):  # noqa: N818 - it is the server that is at fault
    """A fault. ``refuses_cursor``: the server does not know the place at which it was to go on; ``lacks_method``: it
    has no such call; ``not_found``: it has no such block.
    """

    refuses_cursor = False
    lacks_method = False
    not_found = False


def fault_of(error: grpc.RpcError, shown_url: str, method: str) -> FirehoseFault:
    """Return the fault behind an error of gRPC."""
    status: Any = error.code()
    text = " ".join(str(error.details() or "").split())[:_MOST_TEXT]
    where = f"the Firehose server at {shown_url} answered {method} with {status.name}: {text}"
    if status in _REFUSED:
        mend = "check the provider's token and url, then deploy again"
        return FirehoseFault(ErrorCode.NODE_REFUSED_ACCESS, f"{where}. {mend}")
    if status is grpc.StatusCode.UNAVAILABLE:
        mend = "Check the provider's url and that the server is up"
        message = f"cannot reach the Firehose server at {shown_url}: {text}. {mend}"
        return FirehoseFault(ErrorCode.NODE_UNREACHABLE, message, recoverable=True)
    if status is grpc.StatusCode.UNIMPLEMENTED:
        mend = "Extraction needs this call: is the provider's url that of a Firehose server (version 2)?"
        fault = FirehoseFault(ErrorCode.NODE_METHOD_UNSUPPORTED, f"{where}. {mend}")
        fault.lacks_method = True
        return fault
    limited = status is grpc.StatusCode.RESOURCE_EXHAUSTED
    code = ErrorCode.NODE_RATE_LIMITED if limited else ErrorCode.NODE_ANSWERED_ERROR
    fault = FirehoseFault(code, where, recoverable=True)
    fault.refuses_cursor = status is grpc.StatusCode.INVALID_ARGUMENT
    fault.not_found = status is grpc.StatusCode.NOT_FOUND
    return fault


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
