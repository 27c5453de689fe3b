"""The roots that a header gives of its ordered lists: transactions, receipts, withdrawals.

A list's root is the root of a Merkle Patricia trie (yellow paper, appendix D) whose keys are the RLP of 0, 1, 2, … Its
shape follows from the length of the list alone, so it is worked out once per length. No node is stored: leaves are
encoded for many lists at a time, and the few branches are hashed upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from ampd.chain.byte_columns import Integers, keccak_of_rows, lengths_of, piece, views
from ampd.chain.keccak import keccak256
from ampd.chain.rlp import rlp_bytes, rlp_integer, rlp_list
from ampd.chain.rlp_columns import rlp_lists, string_prefixes

_NO_NODE: Final = b"\x80"
_HASH_PREFIX: Final = b"\xa0"
_HASH_REFERENCE: Final = 33  # bytes; a node of 31 bytes or less stands in its parent itself
_LEAF, _EXTENSION = 2, 0

EMPTY_ROOT: Final = keccak256(_NO_NODE)

Nibbles = tuple[int, ...]


class _Step(NamedTuple):
    """How to make one inner node: ``children`` picks the references from all made so far; an extension has a path."""

    children: Callable[[list[bytes]], tuple[bytes, ...] | bytes]
    path: bytes | None


@dataclass(frozen=True)
class _Shape:
    """The trie of a list of some length: the encoded path of each leaf, and the inner nodes from the bottom up."""

    leaf_paths: bytes
    leaf_path_lengths: Integers
    steps: Sequence[_Step]


def ordered_trie_root(values: Sequence[bytes]) -> bytes:
    """Return the root of one list."""
    return ordered_trie_roots(pa.array(values, pa.binary()), [len(values)])[0]


def ordered_trie_roots(values: pa.BinaryArray, counts: Sequence[int]) -> list[bytes]:
    """Return the roots of several lists, of which each is the next ``counts`` of ``values``.

    The counts add up to ``len(values)``. The root of an empty list is :data:`EMPTY_ROOT`.
    """
    shapes = [_shape(count) for count in counts]
    references = _leaf_references(values, shapes)
    roots = []
    start = 0
    for count, shape in zip(counts, shapes, strict=True):
        roots.append(_root(references[start : start + count], shape))
        start += count
    return roots


def _leaf_references(values: pa.BinaryArray, shapes: Sequence[_Shape]) -> list[bytes]:
    if not len(values):
        return []
    path_lengths = np.concatenate([shape.leaf_path_lengths for shape in shapes])
    paths = piece(b"".join(shape.leaf_paths for shape in shapes), np.concatenate([[0], np.cumsum(path_lengths)]))
    leaves = rlp_lists(paths, string_prefixes(values), values)
    digests = keccak_of_rows(leaves).tobytes()
    references = [_HASH_PREFIX + digests[start : start + 32] for start in range(0, len(digests), 32)]
    if lengths_of(leaves).min() < 32:
        for row, leaf in enumerate(views(leaves)):
            if len(leaf) < 32:
                references[row] = bytes(leaf)
    return references


def _root(leaves: list[bytes], shape: _Shape) -> bytes:
    references = [_NO_NODE, *leaves]
    for children, path in shape.steps:
        picked = children(references)
        items = (*picked, _NO_NODE) if path is None else (path, bytes(picked))  # type: ignore[arg-type]
        references.append(_reference(rlp_list(items)))
    last = references[-1]
    return last[1:] if len(last) == _HASH_REFERENCE else keccak256(last)


def _reference(node: bytes) -> bytes:
    return node if len(node) < 32 else _HASH_PREFIX + keccak256(node)


@lru_cache(maxsize=1024)
def _shape(count: int) -> _Shape:
    keys = sorted((_nibbles(rlp_integer(index)), index) for index in range(count))
    paths = [b""] * count
    steps: list[_Step] = []
    if count:
        _add_nodes(keys, 0, paths, steps)
    return _Shape(b"".join(paths), np.array([len(path) for path in paths], dtype=np.int64), steps)


def _add_nodes(keys: Sequence[tuple[Nibbles, int]], depth: int, paths: list[bytes], steps: list[_Step]) -> int:
    """Add the nodes below ``depth`` for these sorted keys; return where the topmost one's reference will stand.

    Place 0 is for no node, then come the leaves, then the inner nodes in the order of ``steps``.
    """
    first, index = keys[0]
    if len(keys) == 1:
        paths[index] = rlp_bytes(_hex_prefix(first[depth:], _LEAF))
        return 1 + index
    shared = _shared_nibbles(first, keys[-1][0], depth)
    if shared:
        child = _add_nodes(keys, depth + shared, paths, steps)
        steps.append(_Step(itemgetter(child), rlp_bytes(_hex_prefix(first[depth : depth + shared], _EXTENSION))))
        return len(paths) + len(steps)
    children = [0] * 16
    for nibble, group in groupby(keys, key=lambda key: key[0][depth]):
        children[nibble] = _add_nodes(list(group), depth + 1, paths, steps)
    steps.append(_Step(itemgetter(*children), None))
    return len(paths) + len(steps)


def _nibbles(key: bytes) -> Nibbles:
    return tuple(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _shared_nibbles(first: Nibbles, last: Nibbles, depth: int) -> int:
    """Return how many nibbles from ``depth`` on all keys share: sorted, so the first and the last tell."""
    shared = 0
    while first[depth + shared] == last[depth + shared]:
        shared += 1
    return shared


def _hex_prefix(nibbles: Nibbles, kind: int) -> bytes:
    """Return the hex-prefix encoding of a path (yellow paper, appendix C); ``kind`` is 2 for a leaf."""
    odd = len(nibbles) % 2
    digits = (kind + odd, *nibbles) if odd else (kind, 0, *nibbles)
    return bytes(high << 4 | low for high, low in zip(digits[::2], digits[1::2], strict=True))
