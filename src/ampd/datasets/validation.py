"""Turns what pydantic finds wrong into sentences for people."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MAX_SHOWN = 5


def explain(error: ValidationError) -> str:
    """Return what is wrong and where, on one line. The values themselves are never shown: they may be secret."""
    return explain_details(error.errors(include_url=False, include_context=False, include_input=False))


def explain_details(details: list[ErrorDetails]) -> str:
    """Return what :func:`explain` returns, of some of an error's details."""
    parts = [_sentence(detail) for detail in details[:MAX_SHOWN]]
    if len(details) > MAX_SHOWN:
        parts.append(f"and {len(details) - MAX_SHOWN} more")
    return "; ".join(parts)


def _sentence(detail: ErrorDetails) -> str:
    place = ".".join(str(step) for step in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown field '{place}'"
    if detail["type"] == "missing":
        return f"the field '{place}' is missing"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}" if place else message
