"""Bodies and parameters of which every key is known: another one is a typing error more often than not."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictInt, model_validator

MAX_INT64 = 2**63 - 1


def without_fraction(value: Any) -> Any:
    """Return a float that is a whole number as an integer, anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON has one kind of numbers, and JSON Schema calls 1.0 an integer, too: some languages write it like that.
WholeNumber = Annotated[StrictInt, BeforeValidator(without_fraction)]


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
        return refuse_strange_values(data)
