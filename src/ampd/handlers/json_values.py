"""JSON values that handlers give us to keep: checked, and of a bounded size."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ampd.errors import AmpError, ErrorCode


def json_value(value: Any, *, what: str, most_bytes: int) -> Any:
    """Return ``value`` as JSON keeps it; models, dataclasses, dates and the like become what they are on the wire.

    ``what`` names it in errors.

    :raises AmpError: JOB_DATA_INVALID when it is none, or has more than ``most_bytes`` as text.
    """
    try:
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else to_jsonable_python(value)
        size = len(
            json.dumps(plain, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        )
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
        reason = type(error).__name__ if isinstance(error, RecursionError) else str(error)
        raise AmpError(ErrorCode.JOB_DATA_INVALID, f"{what} is no JSON value: {reason}") from None
    if size > most_bytes:
        raise AmpError(
            ErrorCode.JOB_DATA_INVALID,
            f"{what} has {size} bytes as JSON, the most is {most_bytes}: put what is large into a store of your own, "
            "and give its place",
        )
    return plain
