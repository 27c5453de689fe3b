"""Reading recorded Firehose blocks: ``.dbin`` files (version 0) of one block each, compressed by zstd or not."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from google.protobuf.message import DecodeError

from ampd.errors import AmpError
from ampd.firehose_wire import firehose_pb2
from ampd.replay_node.recorded import invalid_blocks

_MAGIC = b"dbin"
_CONTENT = b"ETH"
# The magic word, the version of the format, the kind of the content in three letters and its version in two.
_HEAD_BYTES = 10


@dataclass(frozen=True)
class FirehoseBlock:
    """A block as a Firehose server sends it: ``payload`` is a ``sf.ethereum.type.v2.Block``; hashes are hex digits."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    payload: bytes


def read_firehose_blocks(directory: Path) -> list[FirehoseBlock]:
    """Return the blocks of the directory's ``.dbin`` and ``.dbin.zst`` files, ascending and linked.

    Raises :class:`AmpError` (``RECORDED_BLOCKS_INVALID``) when there is none, a file cannot be read, or the blocks do
    not follow each other.
    """
    files = sorted(directory.glob("*.dbin")) + sorted(directory.glob("*.dbin.zst"))
    if not files:
        raise invalid_blocks(f"the directory {directory} holds no recorded Firehose block (.dbin, .dbin.zst)")
    blocks = sorted((block for path in files for block in _read_file(path)), key=lambda block: block.number)
    for before, block in itertools.pairwise(blocks):
        if block.number != before.number + 1 or block.parent_hash != before.hash:
            raise invalid_blocks(f"block {block.number} in {directory} does not follow block {before.number}")
    return blocks


def _read_file(path: Path) -> list[FirehoseBlock]:
    try:
        with pa.OSFile(str(path)) as file:
            data = pa.CompressedInputStream(file, "zstd").read() if path.suffix == ".zst" else file.read()
    except OSError as error:
        raise invalid_blocks(f"the file {path} cannot be read: {error}") from None
    if data[:4] != _MAGIC or data[4] != 0 or data[5:8] != _CONTENT:
        raise invalid_blocks(f"the file {path} is no dbin file (version 0) of Ethereum blocks")
    try:
        return [_block(message) for message in _messages(data[_HEAD_BYTES:], path)]
    except DecodeError as error:
        raise invalid_blocks(f"the file {path} holds a message that is no block: {error}") from None


def _messages(data: bytes, path: Path) -> list[bytes]:
    """Return the messages, each of which stands behind its length in four bytes."""
    messages, position = [], 0
    while position < len(data):
        try:
            (length,) = struct.unpack_from(">I", data, position)
        except struct.error:
            raise _cut_off(path) from None
        position += 4 + length
        if position > len(data):
            raise _cut_off(path)
        messages.append(data[position - length : position])
    return messages


def _cut_off(path: Path) -> AmpError:
    return invalid_blocks(f"the file {path} ends in the middle of a message")


def _block(message: bytes) -> FirehoseBlock:
    recorded = firehose_pb2.RecordedBlock.FromString(message)
    return FirehoseBlock(
        recorded.number, recorded.id, recorded.previous_id, recorded.timestamp.seconds, recorded.payload
    )
