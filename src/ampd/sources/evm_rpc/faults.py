"""The error of a request to a node, with what may help against it."""

from __future__ import annotations

import json
from typing import Any, Final

from ampd.errors import AmpError, ErrorCode
from ampd.sources.evm_rpc.classify import Reaction, Verdict, classify_http, classify_rpc_error
from ampd.sources.evm_rpc.transport import Reply

_MOST_TEXT: Final = 300


class NodeFault(AmpError):  # noqa: N818 - it is the node that is at fault
    """What a node did wrong. ``verdict`` is what may help, ``rpc_code`` the code of its JSON-RPC error, if it sent one.

    A fault that a later try, or another endpoint, may mend is recoverable.
    """

    def __init__(
        self, code: ErrorCode, message: str, verdict: Verdict, *, method: str = "", rpc_code: int | None = None
    ) -> None:
        super().__init__(code, message, recoverable=verdict.reaction not in (Reaction.FATAL, Reaction.UNSUPPORTED))
        self.verdict = verdict
        self.method = method
        self.call_id: int | None = None
        self.rpc_code = rpc_code


def unreachable(shown_url: str, why: str) -> NodeFault:
    """Return the fault of a request without an answer."""
    return NodeFault(
        ErrorCode.NODE_UNREACHABLE,
        f"cannot reach the node at {shown_url}: {why}. Check the provider's url and that the node is up",
        Verdict(Reaction.RETRY_SAME),
    )


def resting(shown_url: str, seconds: float) -> NodeFault:
    """Return the fault of a request that was not sent, because the node wants to be left alone for longer."""
    return NodeFault(
        ErrorCode.NODE_RATE_LIMITED,
        f"the node at {shown_url} wants no requests for another {round(seconds)} s: it has answered that there were "
        "too many. Lower the provider's rate_limit_per_minute or concurrent_request_limit, or add another provider",
        Verdict(Reaction.SLOW_DOWN, pause_seconds=seconds, lasting=True),
    )


def http_fault(shown_url: str, method: str, reply: Reply) -> NodeFault:
    """Return the fault of an answer whose HTTP status is not 200."""
    verdict = classify_http(reply.status, reply.headers, reply.body)
    where = f"the node at {shown_url} answered HTTP {reply.status} to {method}"
    text = " ".join(reply.body[:200].decode("utf-8", "replace").split())
    if verdict.reaction is Reaction.SLOW_DOWN:
        return NodeFault(ErrorCode.NODE_RATE_LIMITED, f"{where}: too many requests: {text!r}", verdict, method=method)
    if verdict.reaction is Reaction.FATAL:
        mend = "check the provider's auth_token and url, then deploy again"
        return NodeFault(ErrorCode.NODE_REFUSED_ACCESS, f"{where}: {mend}", verdict, method=method)
    if verdict.reaction is Reaction.UNSUPPORTED:
        return _unsupported(f"{where}: {text!r}", verdict, method, None)
    return NodeFault(
        ErrorCode.NODE_ANSWERED_ERROR, f"{where}: {text!r}. Check the provider's url", verdict, method=method
    )


def rpc_fault(shown_url: str, method: str, error: Any) -> NodeFault:
    """Return the fault of a JSON-RPC error."""
    verdict = classify_rpc_error(error)
    code = error.get("code") if isinstance(error, dict) else None
    text = str(error.get("message", error) if isinstance(error, dict) else error)[:_MOST_TEXT]
    where = f"the node at {shown_url} answered {method} with an error: {' '.join(text.split())} (code {code})"
    rpc_code = code if isinstance(code, int) else None
    if verdict.reaction is Reaction.UNSUPPORTED:
        return _unsupported(where, verdict, method, rpc_code)
    limited = verdict.reaction is Reaction.SLOW_DOWN
    error_code = ErrorCode.NODE_RATE_LIMITED if limited else ErrorCode.NODE_ANSWERED_ERROR
    return NodeFault(error_code, where, verdict, method=method, rpc_code=rpc_code)


def _unsupported(where: str, verdict: Verdict, method: str, rpc_code: int | None) -> NodeFault:
    return NodeFault(
        ErrorCode.NODE_METHOD_UNSUPPORTED,
        f"{where}. Extraction needs this method: use another provider",
        verdict,
        method=method,
        rpc_code=rpc_code,
    )


def not_json(shown_url: str, method: str, body: bytes) -> NodeFault:
    """Return the fault of an answer that is no JSON."""
    text = " ".join(body[:80].decode("utf-8", "replace").split())
    return NodeFault(
        ErrorCode.NODE_ANSWER_NOT_JSON,
        f"{shown_url} did not answer {method} with JSON but with {text!r}: "
        "is the provider's url that of a JSON-RPC endpoint?",
        Verdict(Reaction.ROTATE),
        method=method,
    )


def malformed(shown_url: str, method: str, what: str) -> NodeFault:
    """Return the fault of an answer that is JSON, and not an answer."""
    return NodeFault(
        ErrorCode.NODE_ANSWER_MALFORMED,
        f"{shown_url} answered {method} with {what}",
        Verdict(Reaction.ROTATE),
        method=method,
    )


def check_answer(shown_url: str, method: str, body: bytes) -> None:
    """Look into an answer of moderate size.

    :raises NodeFault: for an error object, and for what is no JSON-RPC answer at all.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        raise not_json(shown_url, method, body) from None
    if isinstance(answer, dict) and answer.get("error") is not None:
        raise rpc_fault(shown_url, method, answer["error"])
    if not isinstance(answer, dict) or "result" not in answer:
        raise malformed(shown_url, method, "JSON that has neither result nor error")


def missing_in_batch(shown_url: str, method: str, what: str) -> NodeFault:
    """Return the fault of a batch that does not hold one answer to each call."""
    return NodeFault(
        ErrorCode.NODE_ANSWER_MALFORMED,
        f"{shown_url} gave {what} to a call of {method} in a batch",
        Verdict(Reaction.RETRY_SAME),
        method=method,
    )
