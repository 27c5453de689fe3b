"""Arrow types as JSON and back."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ampd.datasets.arrow_types import normal_type, type_from_json, type_to_json

_ITEM = pa.field("item", pa.string_view(), nullable=False)
_TYPES = [
    pa.null(),
    pa.float16(),
    pa.date64(),
    pa.large_binary(),
    pa.decimal32(5, 1),
    pa.decimal64(18, 0),
    pa.decimal256(76, 3),
    pa.time32("ms"),
    pa.time64("ns"),
    pa.duration("us"),
    pa.timestamp("s"),
    pa.timestamp("ns", "+00:00"),
    pa.month_day_nano_interval(),
    pa.binary(20),
    pa.list_(_ITEM),
    pa.large_list(_ITEM),
    pa.list_view(_ITEM),
    pa.large_list_view(_ITEM),
    pa.list_(_ITEM, 3),
    pa.struct([pa.field("a", pa.list_(_ITEM)), pa.field("b", pa.bool_(), nullable=False)]),
    pa.map_(pa.string(), pa.int8(), keys_sorted=True),
]


@pytest.mark.parametrize("kind", _TYPES, ids=str)
def test_a_type_comes_back_from_its_json_which_is_the_normal_form(kind: pa.DataType) -> None:
    written = type_to_json(kind)
    assert normal_type(written) == written
    assert type_from_json(written) == kind


def test_a_map_is_written_as_the_rust_implementation_writes_it() -> None:
    written = type_to_json(pa.map_(pa.string(), pa.int8()))
    entries, is_sorted = written["Map"]
    assert (entries["name"], entries["nullable"], is_sorted) == ("entries", False, False)
    assert [field["name"] for field in entries["data_type"]["Struct"]] == ["key", "value"]


def test_what_manifests_or_pyarrow_do_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="dictionary"):
        type_to_json(pa.dictionary(pa.int32(), pa.string()))
    with pytest.raises(TypeError, match="YearMonth"):
        type_from_json({"Interval": "YearMonth"})
    entries = {"name": "entries", "data_type": "Utf8", "nullable": False}
    with pytest.raises(TypeError, match="key and value"):
        type_from_json({"Map": [entries, False]})
