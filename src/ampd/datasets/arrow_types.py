"""Arrow types as JSON, in the form in which the Rust implementation of Arrow writes them.

A type is a word (``"UInt64"``) or an object of one key (``{"Decimal128": [38, 0]}``). Types inside types are fields::

    {"name": …, "data_type": …, "nullable": …, "dict_id": 0, "dict_is_ordered": false, "metadata": {}}

always with their keys in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

MAX_DEPTH: Final = 16
_INTEGERS: Final = frozenset(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
_FLOATS_AND_DATES: Final = frozenset({"Float16", "Float32", "Float64", "Date32", "Date64"})
_TEXTS: Final = frozenset({"Binary", "LargeBinary", "BinaryView", "Utf8", "LargeUtf8", "Utf8View"})
_WORDS: Final = frozenset({"Null", "Boolean"}) | _INTEGERS | _FLOATS_AND_DATES | _TEXTS
_UNITS: Final = ("Second", "Millisecond", "Microsecond", "Nanosecond")
_INTERVALS: Final = ("YearMonth", "DayTime", "MonthDayNano")
_DECIMAL_DIGITS: Final = {"Decimal32": 9, "Decimal64": 18, "Decimal128": 38, "Decimal256": 76}
_MAX_WIDTH: Final = 2**31 - 1

_SIMPLE_TYPES: Final[dict[pa.DataType, str]] = {
    pa.null(): "Null",
    pa.bool_(): "Boolean",
    pa.int8(): "Int8",
    pa.int16(): "Int16",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.uint8(): "UInt8",
    pa.uint16(): "UInt16",
    pa.uint32(): "UInt32",
    pa.uint64(): "UInt64",
    pa.float16(): "Float16",
    pa.float32(): "Float32",
    pa.float64(): "Float64",
    pa.date32(): "Date32",
    pa.date64(): "Date64",
    pa.string(): "Utf8",
    pa.large_string(): "LargeUtf8",
    pa.string_view(): "Utf8View",
    pa.binary(): "Binary",
    pa.large_binary(): "LargeBinary",
    pa.binary_view(): "BinaryView",
}
_UNIT_WORDS: Final = dict(zip(("s", "ms", "us", "ns"), _UNITS, strict=True))
_UNITS_OF_WORDS: Final = {word: unit for unit, word in _UNIT_WORDS.items()}


def type_to_json(data_type: pa.DataType) -> Any:
    """Return the JSON form of a pyarrow type.

    :raises TypeError: for a type that manifests do not know, such as a dictionary.
    """
    if data_type in _SIMPLE_TYPES:
        return _SIMPLE_TYPES[data_type]
    for name, (is_one, parameters) in _WRITTEN.items():
        if is_one(data_type):
            return {name: parameters(data_type)}
    raise TypeError(f"no JSON form is written down for the Arrow type {data_type}")


def type_from_json(declared: Any) -> pa.DataType:
    """Return the pyarrow type of a JSON form, as :func:`normal_type` returns it.

    :raises TypeError: for a type that pyarrow does not have, such as an interval of months.
    """
    if isinstance(declared, str):
        return _TYPES_OF_WORDS[declared]
    name, value = next(iter(declared.items()))
    if name not in _MADE or (name == "Interval" and value != "MonthDayNano"):
        raise TypeError(f"columns of the Arrow type {declared} are not made here")
    return _MADE[name](value)


def _field_to_json(field: pa.Field) -> dict[str, Any]:
    return _field(field.name, type_to_json(field.type), field.nullable)


def _field_from_json(declared: dict[str, Any]) -> pa.Field:
    return pa.field(declared["name"], type_from_json(declared["data_type"]), declared["nullable"])


def _map_to_json(data_type: pa.MapType) -> list[Any]:
    entries = pa.struct([data_type.key_field, data_type.item_field])
    return [_field("entries", type_to_json(entries), nullable=False), data_type.keys_sorted]


def _map_from_json(value: list[Any]) -> pa.DataType:
    entries = type_from_json(value[0]["data_type"])
    if not pa.types.is_struct(entries) or entries.num_fields != 2:
        raise TypeError("the entries of a Map are a Struct of key and value")
    return pa.map_(*entries.fields, keys_sorted=value[1])


def _field(
    name: str,
    data_type: Any,
    nullable: bool,
    *,
    dict_id: int = 0,
    dict_is_ordered: bool = False,
    metadata: dict[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "data_type": data_type,
        "nullable": nullable,
        "dict_id": dict_id,
        "dict_is_ordered": dict_is_ordered,
        "metadata": dict(sorted((metadata or {}).items())),
    }


def normal_type(declared: Any, depth: int = 0) -> Any:
    """Return ``declared``, the JSON of an Arrow type, with keys in canonical order and defaults filled in.

    :raises ValueError: when it is not the JSON of an Arrow type; the message says what is wrong.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"types are nested more than {MAX_DEPTH} deep")
    if isinstance(declared, str):
        if declared not in _WORDS:
            raise ValueError(f"unknown Arrow type {declared!r}; words are {', '.join(sorted(_WORDS))}")
        return declared
    if not isinstance(declared, dict) or len(declared) != 1:
        raise ValueError(
            'an Arrow type is a word such as "UInt64" or an object of one key such as {"FixedSizeBinary": 32}'
        )
    name, value = next(iter(declared.items()))
    if name not in _PARAMETERS:
        raise ValueError(f"unknown Arrow type {name!r}; with parameters there are {', '.join(sorted(_PARAMETERS))}")
    return {name: _PARAMETERS[name](name, value, depth + 1)}


def _normal_field(name: str, value: Any, depth: int) -> dict[str, Any]:
    required, optional = ("name", "data_type", "nullable"), ("dict_id", "dict_is_ordered", "metadata")
    if not isinstance(value, dict):
        raise ValueError(f"{name} needs a field: an object with {', '.join(required)}")
    _refuse(name, "is missing in its field", [key for key in required if key not in value])
    _refuse(name, "is not known in a field", [key for key in value if key not in required + optional])
    metadata = value.get("metadata", {})
    if (
        not isinstance(value["name"], str)
        or not isinstance(value["nullable"], bool)
        or not _is_whole_number(value.get("dict_id", 0))
        or not isinstance(value.get("dict_is_ordered", False), bool)
        or not isinstance(metadata, dict)
        or not all(isinstance(text, str) for text in (*metadata, *metadata.values()))
    ):
        raise ValueError(
            f"a field of {name} has a wrong value: name is a text, nullable and dict_is_ordered are true or false, "
            "dict_id is a whole number, metadata an object of texts"
        )
    return _field(**{**value, "data_type": normal_type(value["data_type"], depth)})


def _normal_struct(name: str, value: Any, depth: int) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise ValueError(f"{name} needs a list of fields")
    return [_normal_field(name, field, depth) for field in value]


def _normal_fixed_size_list(name: str, value: Any, depth: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2 or not _is_width(value[1]):
        raise ValueError(f"{name} needs [FIELD, SIZE]")
    return [_normal_field(name, value[0], depth), value[1]]


def _normal_map(name: str, value: Any, depth: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], bool):
        raise ValueError(f"{name} needs [FIELD, true or false]")
    return [_normal_field(name, value[0], depth), value[1]]


def _normal_width(name: str, value: Any, _: int) -> int:
    if not _is_width(value):
        raise ValueError(f"{name} needs a width in bytes")
    return int(value)


def _normal_decimal(name: str, value: Any, _: int) -> list[int]:
    digits = _DECIMAL_DIGITS[name]
    if not isinstance(value, list) or len(value) != 2 or not all(_is_whole_number(part) for part in value):
        raise ValueError(f"{name} needs [PRECISION, SCALE]")
    if not 1 <= value[0] <= digits or not -128 <= value[1] <= value[0]:
        raise ValueError(f"{name} needs a precision from 1 to {digits} and a scale of at most the precision")
    return value


def _normal_timestamp(name: str, value: Any, _: int) -> list[str | None]:
    if not isinstance(value, list) or len(value) != 2 or value[0] not in _UNITS or not isinstance(value[1], str | None):
        raise ValueError(f'{name} needs [UNIT, TIME ZONE or null], for example ["Nanosecond", "+00:00"]')
    return value


def _normal_word_of(words: tuple[str, ...]) -> Callable[[str, Any, int], str]:
    def check(name: str, value: Any, _: int) -> str:
        if value not in words:
            raise ValueError(f"{name} needs one of {', '.join(words)}")
        return str(value)

    return check


def _is_whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_width(value: Any) -> bool:
    return _is_whole_number(value) and 0 <= value <= _MAX_WIDTH


def _refuse(name: str, why: str, keys: list[str]) -> None:
    if keys:
        raise ValueError(f"{name}: {', '.join(map(repr, keys))} {why}")


_PARAMETERS: Final[dict[str, Callable[[str, Any, int], Any]]] = {
    "FixedSizeBinary": _normal_width,
    **dict.fromkeys(_DECIMAL_DIGITS, _normal_decimal),
    "Timestamp": _normal_timestamp,
    "Time32": _normal_word_of(_UNITS[:2]),
    "Time64": _normal_word_of(_UNITS[2:]),
    "Duration": _normal_word_of(_UNITS),
    "Interval": _normal_word_of(_INTERVALS),
    **dict.fromkeys(("List", "LargeList", "ListView", "LargeListView"), _normal_field),
    "FixedSizeList": _normal_fixed_size_list,
    "Struct": _normal_struct,
    "Map": _normal_map,
}

_WRITTEN: Final[dict[str, tuple[Callable[[pa.DataType], bool], Callable[[Any], Any]]]] = {
    "FixedSizeBinary": (pa.types.is_fixed_size_binary, lambda kind: kind.byte_width),
    "Decimal32": (pa.types.is_decimal32, lambda kind: [kind.precision, kind.scale]),
    "Decimal64": (pa.types.is_decimal64, lambda kind: [kind.precision, kind.scale]),
    "Decimal128": (pa.types.is_decimal128, lambda kind: [kind.precision, kind.scale]),
    "Decimal256": (pa.types.is_decimal256, lambda kind: [kind.precision, kind.scale]),
    "Timestamp": (pa.types.is_timestamp, lambda kind: [_UNIT_WORDS[kind.unit], kind.tz]),
    "Time32": (pa.types.is_time32, lambda kind: _UNIT_WORDS[kind.unit]),
    "Time64": (pa.types.is_time64, lambda kind: _UNIT_WORDS[kind.unit]),
    "Duration": (pa.types.is_duration, lambda kind: _UNIT_WORDS[kind.unit]),
    "Interval": (pa.types.is_interval, lambda _kind: "MonthDayNano"),
    "List": (pa.types.is_list, lambda kind: _field_to_json(kind.value_field)),
    "LargeList": (pa.types.is_large_list, lambda kind: _field_to_json(kind.value_field)),
    "ListView": (pa.types.is_list_view, lambda kind: _field_to_json(kind.value_field)),
    "LargeListView": (pa.types.is_large_list_view, lambda kind: _field_to_json(kind.value_field)),
    "FixedSizeList": (
        pa.types.is_fixed_size_list,
        lambda kind: [_field_to_json(kind.value_field), kind.list_size],
    ),
    "Struct": (pa.types.is_struct, lambda kind: [_field_to_json(field) for field in kind.fields]),
    "Map": (pa.types.is_map, _map_to_json),
}
_TYPES_OF_WORDS: Final = {word: kind for kind, word in _SIMPLE_TYPES.items()}
_MADE: Final[dict[str, Callable[[Any], pa.DataType]]] = {
    "FixedSizeBinary": pa.binary,
    "Decimal32": lambda value: pa.decimal32(*value),
    "Decimal64": lambda value: pa.decimal64(*value),
    "Decimal128": lambda value: pa.decimal128(*value),
    "Decimal256": lambda value: pa.decimal256(*value),
    "Timestamp": lambda value: pa.timestamp(_UNITS_OF_WORDS[value[0]], value[1]),
    "Time32": lambda value: pa.time32(_UNITS_OF_WORDS[value]),
    "Time64": lambda value: pa.time64(_UNITS_OF_WORDS[value]),
    "Duration": lambda value: pa.duration(_UNITS_OF_WORDS[value]),
    "Interval": lambda _value: pa.month_day_nano_interval(),
    "List": lambda value: pa.list_(_field_from_json(value)),
    "LargeList": lambda value: pa.large_list(_field_from_json(value)),
    "ListView": lambda value: pa.list_view(_field_from_json(value)),
    "LargeListView": lambda value: pa.large_list_view(_field_from_json(value)),
    "FixedSizeList": lambda value: pa.list_(_field_from_json(value[0]), value[1]),
    "Struct": lambda value: pa.struct([_field_from_json(field) for field in value]),
    "Map": _map_from_json,
}
