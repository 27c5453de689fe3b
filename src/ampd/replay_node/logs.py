"""``eth_getLogs``: the filter object, and which logs it lets through."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ampd.replay_node.chain import ReplayChain
from ampd.replay_node.errors import INVALID_PARAMS, LIMIT_EXCEEDED, JsonRpcError
from ampd.replay_node.template import LogTemplate

MAX_LOGS = 10_000  # of one answer, as hosted nodes have it
MAX_TOPICS = 4  # of one log: the EVM has LOG0 to LOG4

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_TOPIC = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True)
class LogFilter:
    """What a log must have: one of the addresses, at each position one of the topics (None: any)."""

    addresses: frozenset[str] | None
    topics: tuple[frozenset[str] | None, ...]

    def lets_through(self, log: LogTemplate) -> bool:
        """Tell whether the log matches. A log with fewer topics than the filter has positions does not."""
        if self.addresses is not None and log.address not in self.addresses:
            return False
        if len(log.topics) < len(self.topics):
            return False
        return all(wanted is None or topic in wanted for wanted, topic in zip(self.topics, log.topics, strict=False))


def parse_log_filter(filter_object: dict[str, Any]) -> LogFilter:
    """Read ``address`` and ``topics`` of a filter object. Raises :class:`JsonRpcError`."""
    topics = filter_object.get("topics") or []
    if not isinstance(topics, list):
        raise JsonRpcError(INVALID_PARAMS, "invalid argument 0: topics must be an array")
    if len(topics) > MAX_TOPICS:
        raise JsonRpcError(INVALID_PARAMS, "exceed max topics")
    return LogFilter(
        addresses=_alternatives(filter_object.get("address"), _ADDRESS, "address"),
        topics=tuple(_alternatives(position, _TOPIC, "topic") for position in topics),
    )


def matching_logs(chain: ReplayChain, first: int, last: int, log_filter: LogFilter) -> list[bytes]:
    """Return the JSON pieces of the list of matching logs in blocks ``first`` to ``last``.

    Raises :class:`JsonRpcError` when there are more than ``MAX_LOGS``.
    """
    # The repetitions of a recorded block share their list of logs: it is filtered once.
    matches_of: dict[int, list[LogTemplate]] = {}
    parts, count = [b"["], 0
    for number in range(first, last + 1):
        logs = chain.logs(number)
        matches = matches_of.get(id(logs))
        if matches is None:
            matches = matches_of[id(logs)] = [log for log in logs if log_filter.lets_through(log)]
        if count + len(matches) > MAX_LOGS:
            raise JsonRpcError(
                LIMIT_EXCEEDED,
                f"query returned more than {MAX_LOGS} results. "
                f"Try with this block range [{hex(first)}, {hex(number - 1)}].",
            )
        for log in matches:
            parts.extend(log.template.parts(chain.identity(number)))
            parts.append(b",")
        count += len(matches)
    if count:
        parts.pop()
    parts.append(b"]")
    return parts


def _alternatives(value: Any, pattern: re.Pattern[str], name: str) -> frozenset[str] | None:
    """Read null, one value or a list of alternatives; null, an empty list and a null in the list mean any."""
    values = value if isinstance(value, list) else [value]
    if not values or None in values:
        return None
    for each in values:
        if not isinstance(each, str) or not pattern.fullmatch(each.lower()):
            raise JsonRpcError(INVALID_PARAMS, f"invalid argument 0: invalid {name}: {each!r:.80}")
    return frozenset(each.lower() for each in values)
