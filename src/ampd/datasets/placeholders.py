"""``${VAR}`` in the values of provider files: environment variables, put in when a provider is used.

Only this form is replaced; ``$VAR`` and a lone ``$`` stay as they are. What a variable holds is not looked into again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ampd.errors import AmpError, ErrorCode

_WHOLE = re.compile(r"(?:\$\{[^{}]+\})+")


def has_placeholder(value: Any) -> bool:
    """Return whether ``value`` is a text with a ``${``."""
    return isinstance(value, str) and "${" in value


def is_only_placeholders(value: Any) -> bool:
    """Return whether ``value`` is a text of nothing but placeholders."""
    return isinstance(value, str) and _WHOLE.fullmatch(value) is not None


def substitute(content: dict[str, Any], environment: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return ``content`` with every placeholder in its texts replaced, also inside tables and lists.

    :raises AmpError: INVALID_PROVIDER naming ``where``, the key, and the variable that is not set.
    """

    def look_up(key: str, variable: str) -> str:
        if variable not in environment:
            raise AmpError(
                ErrorCode.INVALID_PROVIDER,
                f"{where}: key '{key}' needs the environment variable '{variable}', which is not set. "
                "Set it for every ampd process and start them again",
            )
        return environment[variable]

    return {key: _replaced(value, key, where, look_up) for key, value in content.items()}


def check_placeholders(content: dict[str, Any], where: str) -> None:
    """Check that every placeholder is well formed, without a look into the environment.

    :raises AmpError: INVALID_PROVIDER naming ``where`` and the key.
    """
    for key, value in content.items():
        _replaced(value, key, where, lambda _, variable: variable)


def _replaced(value: Any, key: str, where: str, look_up: Callable[[str, str], str]) -> Any:
    if isinstance(value, str):
        return _replaced_text(value, key, where, look_up)
    if isinstance(value, dict):
        return {name: _replaced(item, f"{key}.{name}", where, look_up) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, f"{key}[{index}]", where, look_up) for index, item in enumerate(value)]
    return value


def _replaced_text(text: str, key: str, where: str, look_up: Callable[[str, str], str]) -> str:
    literal, *openings = text.split("${")
    parts = [literal]
    for opening in openings:
        variable, closed, literal = opening.partition("}")
        if not closed:
            raise _malformed(where, key, "a '${' without its '}'")
        if not variable:
            raise _malformed(where, key, "an empty '${}'")
        parts += [look_up(key, variable), literal]
    return "".join(parts)


def _malformed(where: str, key: str, what: str) -> AmpError:
    return AmpError(ErrorCode.INVALID_PROVIDER, f"{where}: key '{key}' has {what}. Write ${{VARIABLE}}")
