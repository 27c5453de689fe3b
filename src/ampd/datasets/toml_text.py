"""Writes JSON-like values as TOML 1.0 (the standard library only reads it)."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from ampd.errors import AmpError, ErrorCode

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MAX_INT64 = 2**63 - 1


def to_toml(content: dict[str, Any]) -> str:
    """Return ``content`` as TOML, one key per line; tables inside are written inline.

    :raises AmpError: DATA_CONVERSION_ERROR for what TOML cannot say (null, whole numbers beyond 64 bits).
    """
    try:
        return "".join(f"{_key(name)} = {_value(name, value)}\n" for name, value in content.items())
    except RecursionError:
        raise AmpError(
            ErrorCode.DATA_CONVERSION_ERROR, "the values are nested too deep to be written as TOML"
        ) from None


def _value(place: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(place, value)
    if isinstance(value, int):
        return _whole_number(place, value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else _special_float(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(f'{place}[{index}]', item) for index, item in enumerate(value))}]"
    if isinstance(value, dict):
        pairs = [f"{_key(name)} = {_value(f'{place}.{name}', item)}" for name, item in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    what = "null" if value is None else f"a {type(value).__name__}"
    raise _unwritable(place, f"{what} has no form in TOML; leave the key out")


def _text(place: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _unwritable(place, "half of a surrogate pair has no form in TOML") from None
    # TOML's basic strings have the escapes of JSON, and DEL must be escaped too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _whole_number(place: str, number: int) -> str:
    if not -_MAX_INT64 - 1 <= number <= _MAX_INT64:
        raise _unwritable(place, "whole numbers in TOML have 64 bits")
    return str(number)


def _special_float(number: float) -> str:
    if math.isnan(number):
        return "nan"
    return "inf" if number > 0 else "-inf"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name, name)


def _unwritable(place: str, why: str) -> AmpError:
    return AmpError(ErrorCode.DATA_CONVERSION_ERROR, f"key '{place}' cannot be written: {why}")
