"""Whatever nodes get wrong, to draw from: faults of answers about blocks and receipts, of batches, and of balancers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from ampd.replay_node import (
    ChangeBatch,
    ChangeResult,
    Delay,
    DropConnection,
    ErrorAnswer,
    Fault,
    HttpAnswer,
    ReplaceResult,
)
from ampd.replay_node.misdeeds import WRONG_BATCHES, WRONG_BLOCKS, WRONG_RECEIPTS

TIMEOUT = 0.3

Plan = dict[tuple[str, int], list[Fault]]

PASSING: dict[str, Fault] = {
    "429 with seconds": HttpAnswer(429, "slow down", {"Retry-After": "0.01"}),
    "429 with a date": HttpAnswer(
        429,
        "",
        {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"},
    ),
    "429 without a header": HttpAnswer(429),
    "429 with a JSON body": HttpAnswer(429, '{"error":{"code":-32007,"message":"50/second"}}', {}, "application/json"),
    "429 inside 200": ErrorAnswer(429, "Your app has exceeded its compute units per second capacity"),
    "-32005 with a hint": ErrorAnswer(-32005, "daily", {"rate": {"allowed_rps": 500, "backoff_seconds": 0.01}}),
    "-32029": ErrorAnswer(-32029, "Too Many Requests"),
    "500": HttpAnswer(500, "oops"),
    "502 with HTML": HttpAnswer(502, "<html>Bad Gateway</html>"),
    "503 with Retry-After": HttpAnswer(503, "", {"Retry-After": "0.01"}),
    "200 with HTML": HttpAnswer(200, "<html>Welcome</html>"),
    "200 with much HTML": HttpAnswer(200, "<html>" + "Welcome " * 1000),
    "200 with nothing": HttpAnswer(200, "", {}, "application/json"),
    "200 with a broken object": HttpAnswer(200, '{"jsonrpc":"2.0","id":1,"resu', {}, "application/json"),
    "hangs up": DropConnection(),
    "cut body": DropConnection(after_bytes=500),
    "too slow": Delay(2 * TIMEOUT),
    "internal error": ErrorAnswer(-32603, "internal error"),
    "header not found": ErrorAnswer(-32000, "header not found"),
    "missing trie node": ErrorAnswer(-32000, "missing trie node 0xdead (path )"),
    "nobody knows": ErrorAnswer(-32000, "something odd"),
    "too large": ErrorAnswer(-32000, "response size should not greater than 10485760 bytes"),
    "execution timeout": ErrorAnswer(-32000, "query timeout exceeded"),
    "null": ReplaceResult(None),
}
BLOCK_FAULTS = PASSING | {name: ChangeResult(change) for name, change in WRONG_BLOCKS.items()}
RECEIPT_FAULTS = PASSING | {name: ChangeResult(change) for name, change in WRONG_RECEIPTS.items()}
BATCH_FAULTS = {name: ChangeBatch(change) for name, change in WRONG_BATCHES.items()}


def _of_first_block(name: str) -> Fault:
    """What hangs on another fork shows only beside the block before it: the first block has none here."""
    return PASSING["null"] if name == "another parent" else BLOCK_FAULTS[name]


def _names(wrong: Iterable[str]) -> st.SearchStrategy[list[str]]:
    """Draw names of faults, answers that are ``wrong`` as often as all others together."""
    return st.lists(st.sampled_from(sorted(PASSING)) | st.sampled_from(sorted(wrong)), min_size=1, max_size=2)


@st.composite
def plans(draw: st.DrawFn, first: int, last: int, most: int = 6, fewest: int = 0) -> Plan:
    """Give up to two faults to some calls: to ``fewest`` to ``most`` about blocks, and to as many about receipts."""
    faults: Plan = {}
    numbers = st.lists(st.integers(first, last), min_size=fewest, max_size=most, unique=True)
    for number in draw(numbers):
        faults["eth_getBlockByNumber", number] = [
            _of_first_block(name) if number == first else BLOCK_FAULTS[name] for name in draw(_names(WRONG_BLOCKS))
        ]
    for number in draw(numbers):
        faults["eth_getBlockReceipts", number] = [RECEIPT_FAULTS[name] for name in draw(_names(WRONG_RECEIPTS))]
    return faults


@st.composite
def lags(draw: st.DrawFn) -> tuple[int, list[bool]]:
    """Give by how many blocks a node behind a balancer lags, and which of the first calls meet that one."""
    return draw(st.integers(1, 5)), draw(st.lists(st.booleans(), max_size=24))


def batch_faults(names: Sequence[str]) -> Any:
    """Do each fault to one batch, and leave every second batch alone, so that some get through."""
    left = [name for name in names for name in (name, "")]

    def choose(sequence: int, answers: list[Any]) -> ChangeBatch | None:
        name = left.pop(0) if left else ""
        return BATCH_FAULTS[name] if name and answers else None

    return choose
