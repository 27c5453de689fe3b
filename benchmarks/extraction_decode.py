"""The column path of ``benchmarks/extraction.py`` alone, in this process on one core: no node, no database."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from ampd.data_store.segments import Compression, encode_segment
from ampd.replay_node import RecordedBlock, build_chain
from ampd.replay_node.chain import ReplayChain
from ampd.sources.blocks import BlockBatch
from ampd.sources.evm_rpc.answers import BLOCK_ANSWER, RECEIPTS_ANSWER, read_answers
from ampd.sources.evm_rpc.decode import decode_blocks, decode_receipts

ROUNDS = 9
MEGA = 1_000_000


def decode_alone(recorded: Sequence[RecordedBlock]) -> dict[str, float]:
    """Decode the recorded answers, decode and write them, and let Arrow's JSON reader alone read the same bytes.

    Medians of CPU time. MB are of JSON.
    """
    chain = build_chain(recorded)
    numbers = range(chain.first_block, chain.last_block + 1)
    blocks = [answer(number, chain.block(number, full=True)) for number in numbers]
    receipts = [answer(number, chain.receipts(number)) for number in numbers]
    size = sum(map(len, blocks + receipts)) / MEGA

    def decode() -> BlockBatch:
        decoded = decode_blocks(numbers, blocks, expect_unknown_keys=False)
        return decode_receipts(decoded, receipts, expect_unknown_keys=False)

    def decode_and_write() -> None:
        for name, table in decode().tables.items():
            encode_segment(name, [table], {}, Compression())

    def read() -> None:
        read_answers(blocks, BLOCK_ANSWER, strict=True)
        read_answers(receipts, RECEIPTS_ANSWER, strict=True)

    decoding, writing, reading = alternate(decode, decode_and_write, read)
    return {
        "decode_blocks_per_s": len(numbers) / decoding,
        "decode_mb_per_s": size / decoding,
        "decode_write_mb_per_s": size / writing,
        "arrow_reader_mb_per_s": size / reading,
    }


def answer(number: int, pieces: list[bytes]) -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (number, b"".join(pieces))


def json_bytes(recorded: Sequence[RecordedBlock], count: int) -> int:
    """Return how many bytes of JSON the blocks and receipts of a chain of ``count`` blocks are."""
    chain: ReplayChain = build_chain(recorded, length=len(recorded))
    numbers = range(chain.first_block, chain.last_block + 1)
    sizes = [sum(map(len, chain.block(n, full=True))) + sum(map(len, chain.receipts(n))) for n in numbers]
    return sum(sizes[offset % len(sizes)] for offset in range(count))


def alternate(*works: Callable[[], object]) -> list[float]:
    """Time each work in turn, several rounds over (the machine's mood hits all alike), and return the medians."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, taken in zip(works, times, strict=True):
            started = time.process_time()
            work()
            taken.append(time.process_time() - started)
    return [statistics.median(taken) for taken in times]
