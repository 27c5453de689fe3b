"""Bodies and parameters of which every key is known: another one is a typing error more often than not."""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

MAX_INT64 = 2**63 - 1


def refuse_strange_values(value: Any) -> Any:
    """Refuse what JSON texts can carry but neither TOML nor PostgreSQL can keep."""
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_strange_values(key)
            refuse_strange_values(item)
    elif isinstance(value, list):
        for item in value:
            refuse_strange_values(item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and Infinity are not JSON numbers")
    elif isinstance(value, int) and abs(value) > MAX_INT64:
        raise ValueError("a number is beyond 64 bits")
    elif isinstance(value, str) and re.search("[\x00\ud800-\udfff]", value):
        raise ValueError("a text holds a NUL or half of a surrogate pair")
    return value


class Strict(BaseModel):
    """A body, or parameters, of which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = sorted(set(data) - set(known)) if isinstance(data, dict) else []
        if unknown:
            raise ValueError(f"unknown {', '.join(map(repr, unknown))}; known are {', '.join(known)}")
        refuse_strange_values(data)
        return {key: _whole(value) for key, value in data.items()} if isinstance(data, dict) else data


def _whole(value: Any) -> Any:
    """Return 1.0 as 1: JSON has one kind of numbers, and JSON Schema calls both integers. What is inside of objects is
    theirs to say.
    """
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
