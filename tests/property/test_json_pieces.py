"""Cutting JSON without parsing it gives what parsing it would."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampd.sources.evm_rpc.json_pieces import BrokenJsonError, Framer, answer_id, elements_of, with_id

TEXTS = st.text(st.sampled_from('{}[],:"\\\n x0é'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("id"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS | st.just("id"), VALUES, max_size=4)
STYLES = st.sampled_from([{"separators": (",", ":")}, {}, {"indent": 1}, {"ensure_ascii": False}])


@settings(max_examples=40)
@given(objects=st.lists(OBJECTS, max_size=5), style=STYLES)
def test_the_elements_of_an_array_are_those_that_were_put_in(objects: list[Any], style: Any) -> None:
    text = json.dumps(objects, **style).encode()
    assert [json.loads(element) for element in elements_of(text)] == objects


@settings(max_examples=40)
@given(objects=st.lists(OBJECTS, min_size=1, max_size=3), data=st.data())
def test_an_array_that_is_cut_off_is_refused(objects: list[Any], data: st.DataObject) -> None:
    text = json.dumps(objects).encode()
    kept = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(BrokenJsonError):
        elements_of(text[:kept])


@pytest.mark.parametrize(
    "text", ["[1]", "[null]", "[{},]", "[,{}]", "[{}{}]", "[{} x {}]", "[[]]", "{}", "", "][", "[{}]]["]
)
def test_what_is_no_array_of_objects_is_refused(text: str) -> None:
    with pytest.raises(BrokenJsonError):
        elements_of(text.encode())


@settings(max_examples=40)
@given(
    objects=st.lists(OBJECTS.filter(bool), max_size=4),
    style=STYLES,
    between=st.sampled_from([b"", b"\n", b" \n "]),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
)
def test_a_stream_is_cut_into_its_objects_however_it_arrives(
    objects: list[Any], style: Any, between: bytes, sizes: list[int]
) -> None:
    stream = b"".join(json.dumps(each, **style).encode() + between for each in objects)
    framer, found, turn = Framer(), [], 0
    while stream:
        size = sizes[turn % len(sizes)]
        found += framer.feed(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert [json.loads(text) for text in found] == objects


@settings(max_examples=40)
@given(
    number=st.integers(0, 10**12),
    new=st.integers(0, 10**12),
    result=VALUES,
    order=st.permutations(["jsonrpc", "id", "result"]),
    style=STYLES,
)
def test_an_answer_gets_another_id_and_nothing_else_changes(
    number: int, new: int, result: Any, order: list[str], style: Any
) -> None:
    whole = {"jsonrpc": "2.0", "id": number, "result": result}
    text = json.dumps({key: whole[key] for key in order}, **style).encode()
    assert answer_id(text) == number
    assert json.loads(with_id(text, new)) == {**whole, "id": new}


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b'{"id":1', b"<html>"])
def test_what_is_no_object_has_no_id(text: bytes) -> None:
    with pytest.raises(BrokenJsonError):
        answer_id(text)
