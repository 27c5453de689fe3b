"""A small recorded block to break, and the assertion that the decoder refuses it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.sources.evm_rpc.decode import decode_blocks, decode_receipts
from oracle.recorded import Recorded, answer, recorded

Text = Callable[[bytes], bytes]

NAME = "ethereum/19433903"
NUMBER = 19433903
OTHER_HASH = "0x" + "ab" * 32


def small() -> Recorded:
    """Block 19433903 with its first four transactions, two logs each."""
    one = recorded(NAME)
    one.block["transactions"] = one.block["transactions"][:4]
    index = 0
    for receipt in one.receipts[:4]:
        receipt["logs"] = [copy.deepcopy((receipt["logs"] or LOGS)[0]) for _ in range(2)]
        for log in receipt["logs"]:
            log.update(logIndex=hex(index), transactionIndex=receipt["transactionIndex"])
            log.update(transactionHash=receipt["transactionHash"], blockHash=receipt["blockHash"])
            index += 1
    return Recorded(one.block, one.receipts[:4])


LOGS = next(receipt["logs"] for receipt in recorded(NAME).receipts if receipt["logs"])


def as_it_is(body: bytes) -> bytes:
    return body


def decode(one: Recorded, *, number: int = NUMBER, block_text: Text = as_it_is, receipts_text: Text = as_it_is) -> None:
    """Decode one block that was asked for as ``number``, after changes to the bodies' text."""
    body = block_text(answer(number, one.block))
    blocks = decode_blocks([number], [body], expect_unknown_keys=False)
    bodies = [receipts_text(answer(number, one.receipts)) for _ in blocks.blocks_with_transactions()]
    decode_receipts(blocks, bodies, expect_unknown_keys=False)


def refused(code: ErrorCode, one: Recorded, *, number: int = NUMBER, **texts: Text) -> str:
    """Assert the refusal and return its message."""
    with pytest.raises(AmpError) as caught:
        decode(one, number=number, **texts)
    assert caught.value.code == code, caught.value.message
    assert str(number) in caught.value.message, f"the message does not name the block: {caught.value.message}"
    return caught.value.message
