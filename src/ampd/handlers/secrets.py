"""What of a job's input may be seen. Secrets are taken out of it before it is stored, and put back by the worker that
runs the job: nothing that shows a job has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from pydantic import SecretStr

from ampd.telemetry.logs import HIDDEN, names_a_secret, redact_text

Path = tuple[str | int, ...]
# A secret value in a text is replaced when it is at least so long: shorter ones are in half of all words.
_SHORTEST: Final = 4


class PartlySecretStr(SecretStr):
    """A secret of which a part may be shown: see :meth:`shown`."""

    def shown(self) -> str:
        """Return what may be shown of it."""
        return HIDDEN


def split(content: Any, plain: Any) -> tuple[Any, list[tuple[Path, str]]]:
    """Return ``plain``, the JSON form of ``content``, without its secrets, and these, each with its path."""
    shown, secrets = deepcopy(plain), []
    for path, secret in _secrets_in(content, ()):
        value = secret.get_secret_value()
        visible = secret.shown() if isinstance(secret, PartlySecretStr) else HIDDEN
        shown = _replaced(shown, path, visible)
        if visible != value:
            secrets.append((path, value))
    return shown, secrets


def hide_by_names(
    content: Any, *, is_harmless: Callable[[str], bool] = lambda text: False
) -> tuple[Any, list[tuple[Path, str]]]:
    """Do as :func:`split` with an input whose model is not known here: texts whose keys are named like secrets, but
    for those that ``is_harmless`` knows.
    """
    found = [(path, text) for path, text in _named_secrets(content, (), hidden=False) if not is_harmless(text)]
    shown = deepcopy(content)
    for path, _ in found:
        shown = _replaced(shown, path, HIDDEN)
    return shown, found


def merge(content: Any, secrets: Iterable[tuple[Iterable[str | int], Any]]) -> Any:
    """Return ``content`` with ``secrets`` in their places again."""
    whole = deepcopy(content)
    for path, value in secrets:
        whole = _replaced(whole, tuple(path), value)
    return whole


def scrub(text: str, values: Iterable[str]) -> str:
    """Return ``text`` without ``values``, and without what looks like a secret."""
    return redact_text(without(text, values))


def without(text: str, values: Iterable[str]) -> str:
    """Return ``text`` without ``values``, but for very short ones."""
    for value in sorted({*values}, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
    return text


def _secrets_in(content: Any, path: Path) -> Iterator[tuple[Path, SecretStr]]:
    if isinstance(content, SecretStr):
        yield path, content
    else:
        for step, item in _items(content):
            yield from _secrets_in(item, (*path, step))


def _named_secrets(content: Any, path: Path, *, hidden: bool) -> Iterator[tuple[Path, str]]:
    if isinstance(content, str):
        if hidden:
            yield path, content
    else:
        for step, item in _items(content):
            yield from _named_secrets(item, (*path, step), hidden=hidden or names_a_secret(str(step)))


def _items(content: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(content, Mapping):
        yield from content.items()
    elif isinstance(content, list | tuple):
        yield from enumerate(content)


def _replaced(content: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return content
