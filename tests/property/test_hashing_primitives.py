"""RLP, trie roots, blooms and keccak against public libraries that know nothing of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rlp
from eth_bloom import BloomFilter
from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from ampd.chain.bloom import log_blooms
from ampd.chain.byte_columns import keccak_of_rows, merge_neighbours, repeated
from ampd.chain.keccak import keccak256
from ampd.chain.rlp import rlp_bytes, rlp_integer, rlp_list
from ampd.chain.rlp_columns import rlp_integers, rlp_lists, rlp_nested_lists, rlp_uint64s, rlp_words, string_prefixes
from ampd.chain.trie import EMPTY_ROOT, ordered_trie_root, ordered_trie_roots

MODERATE = settings(max_examples=100, deadline=None)
# Lengths around which the form of RLP changes: one byte, 55 and 56, 255 and 256 bytes.
STRINGS = st.binary(max_size=70) | st.sampled_from([54, 55, 56, 57, 255, 256, 257, 65535, 65536]).map(
    lambda n: b"a" * n
)
NUMBERS = st.integers(0, 2**256 - 1) | st.integers(0, 300) | st.sampled_from([0, 1, 127, 128, 255, 256, 2**64])
NESTED = st.recursive(STRINGS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)
Tree = Any


def column(values: list[bytes]) -> pa.BinaryArray:
    return pa.array(values, pa.binary())


def encoded(tree: Tree) -> bytes:
    return rlp_list(map(encoded, tree)) if isinstance(tree, list) else rlp_bytes(tree)


def oracle_root(values: list[bytes]) -> bytes:
    trie = HexaryTrie({})
    for index, value in enumerate(values):
        trie[rlp.encode(index)] = value
    return bytes(trie.root_hash)


@MODERATE
@given(data=st.binary(max_size=500))
def test_keccak_is_that_of_another_library(data: bytes) -> None:
    assert keccak256(data) == keccak(data)
    assert keccak_of_rows(column([b"before", data, b""]))[1].tobytes() == keccak(data)


@MODERATE
@given(tree=NESTED)
def test_nested_lists_encode_as_in_another_library(tree: Tree) -> None:
    assert encoded(tree) == rlp.encode(tree)


@MODERATE
@given(numbers=st.lists(NUMBERS, max_size=20))
def test_integers_encode_as_in_another_library_alone_and_as_a_column(numbers: list[int]) -> None:
    expected = [rlp.encode(number) for number in numbers]
    assert [rlp_integer(number) for number in numbers] == expected
    matrix = np.frombuffer(b"".join(number.to_bytes(32, "big") for number in numbers), dtype=np.uint8).reshape(-1, 32)
    assert rlp_integers(matrix).to_pylist() == expected
    small = np.array([number % 2**64 for number in numbers], dtype=np.uint64)
    assert rlp_uint64s(small).to_pylist() == [rlp.encode(number % 2**64) for number in numbers]


@MODERATE
@given(strings=st.lists(STRINGS, max_size=10))
def test_lists_of_strings_encode_as_in_another_library_as_a_column(strings: list[bytes]) -> None:
    values = column(strings)
    twice = rlp_lists(string_prefixes(values), values, string_prefixes(values), values)
    assert twice.to_pylist() == [rlp.encode([string, string]) for string in strings]


@MODERATE
@given(rows=st.lists(st.lists(st.binary(min_size=32, max_size=32), max_size=12), max_size=6))
def test_lists_of_hashes_encode_as_in_another_library_as_a_column(rows: list[list[bytes]]) -> None:
    words = np.frombuffer(b"".join(word for row in rows for word in row), dtype=np.uint8).reshape(-1, 32)
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    lists = rlp_lists(*rlp_nested_lists(rlp_words(words), counts))
    assert lists.to_pylist() == [rlp.encode([row]) for row in rows]


@given(rows=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.booleans()), max_size=12))
def test_a_value_that_is_not_there_encodes_to_nothing(rows: list[tuple[int, bool]]) -> None:
    numbers = np.array([number for number, _ in rows], dtype=np.uint64)
    present = np.array([there for _, there in rows], dtype=np.bool_)
    expected = [rlp.encode(number) if there else b"" for number, there in rows]
    assert rlp_uint64s(numbers, present).to_pylist() == expected
    words = np.full((len(rows), 20), 7, dtype=np.uint8)
    assert rlp_words(words, present, absent=b"\x80").to_pylist() == [
        rlp.encode(b"\x07" * 20 if there else b"") for _, there in rows
    ]
    prefixes, payloads = rlp_nested_lists(repeated(b"", 0), np.zeros(len(rows), dtype=np.int64), present)
    assert prefixes.to_pylist() == [b"\xc0" if there else b"" for _, there in rows]
    assert payloads.to_pylist() == [b""] * len(rows)


@given(groups=st.lists(st.lists(st.binary(max_size=5), max_size=4), max_size=6), offset=st.integers(0, 2))
def test_neighbours_merge_to_their_concatenation(groups: list[list[bytes]], offset: int) -> None:
    flat = column([b"xx"] * offset + [value for group in groups for value in group]).slice(offset)
    counts = np.array([len(group) for group in groups], dtype=np.int64)
    assert merge_neighbours(flat, counts).to_pylist() == [b"".join(group) for group in groups]


VALUES = st.lists(st.binary(min_size=1, max_size=60), max_size=40)


@MODERATE
@given(values=VALUES)
@example(values=[])
@example(values=[b"a"])
@example(values=[b"ab", b"c"])
def test_a_root_is_that_of_a_trie_of_another_library(values: list[bytes]) -> None:
    assert ordered_trie_root(values) == oracle_root(values)


@pytest.mark.parametrize("count", [16, 17, 127, 128, 129, 144, 256, 257, 273])
@pytest.mark.parametrize("size", [1, 30, 31, 33])
def test_a_root_is_right_at_each_length_where_the_trie_changes_its_form(count: int, size: int) -> None:
    """About 30 bytes decide whether a leaf stands in its branch itself; 128 and 256 make the keys longer."""
    values = [index.to_bytes(4, "big")[-size:].ljust(size, b"\x99") for index in range(count)]
    assert ordered_trie_root(values) == oracle_root(values)


@settings(MODERATE, max_examples=50)
@given(lists=st.lists(VALUES, max_size=5))
def test_roots_of_several_lists_do_not_mix(lists: list[list[bytes]]) -> None:
    together = ordered_trie_roots(column([value for values in lists for value in values]), list(map(len, lists)))
    assert together == [oracle_root(values) for values in lists]


def test_the_empty_list_has_the_root_that_every_empty_block_shows() -> None:
    assert ordered_trie_root([]) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


TOPICS = st.none() | st.binary(min_size=32, max_size=32) | st.sampled_from([b"\x01" * 32, b"\x02" * 32])


@MODERATE
@given(logs=st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=20, max_size=20), TOPICS, TOPICS), max_size=30))
def test_blooms_are_those_of_another_library(logs: list[tuple[int, bytes, bytes | None, bytes | None]]) -> None:
    addresses = pa.array([log[1] for log in logs], pa.binary(20))
    topics = [pa.array([log[place] for log in logs], pa.binary(32)) for place in (2, 3)]
    owners = np.array([log[0] for log in logs], dtype=np.int64)
    blooms = log_blooms([addresses, *topics], owners, 4)
    for owner in range(4):
        values = [value for log in logs if log[0] == owner for value in log[1:] if value is not None]
        assert blooms[owner].tobytes() == int(BloomFilter.from_iterable(values)).to_bytes(256, "big")
