"""Cutting JSON text into its parts without parsing it: answers of a batch, messages of a stream, ids. Pure.

Braces and quotes are found by numpy; a block of a megabyte costs some milliseconds, and no Python object per field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_QUOTE, _OPEN, _CLOSE = 1, 2, 3
_KINDS: Final = np.zeros(256, dtype=np.uint8)
_KINDS[ord('"')] = _QUOTE
_KINDS[[ord("{"), ord("[")]] = _OPEN
_KINDS[[ord("}"), ord("]")]] = _CLOSE
_BACKSLASH: Final = ord("\\")

# The id of an answer stands at its front or at its end; what is anchored there cannot be inside of its result.
_ID_IN_FRONT: Final = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+)\s*,')
_ID_AT_END: Final = re.compile(rb'[,{]\s*"id"\s*:\s*(\d+)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*\Z')
_END_BYTES: Final = 200


class BrokenJsonError(Exception):
    """The text cannot be cut, because it is not the JSON that it should be."""


@dataclass
class _Structure:
    """Where braces open and close outside of strings, and the depth after each; the state goes on over pieces."""

    depth: int = 0
    in_string: bool = False

    def scan(self, piece: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8], npt.NDArray[np.int64]]:
        """Return positions, steps (1 or -1) and depths. ``piece`` must not end in a backslash."""
        kinds = _KINDS[np.frombuffer(piece, dtype=np.uint8)]
        at = np.flatnonzero(kinds)
        kinds = kinds[at]
        if b"\\" in piece:
            real = (kinds != _QUOTE) | ~_escaped(piece, at)
            at, kinds = at[real], kinds[real]
        quotes = np.cumsum(kinds == _QUOTE) + int(self.in_string)
        outside = (kinds != _QUOTE) & (quotes % 2 == 0)
        at, kinds = at[outside], kinds[outside]
        steps = np.where(kinds == _OPEN, 1, -1).astype(np.int8)
        depths = self.depth + np.cumsum(steps, dtype=np.int64)
        if len(depths):
            self.depth = int(depths[-1])
        if len(quotes):
            self.in_string = bool(quotes[-1] % 2)
        return at, steps, depths


def _escaped(piece: bytes, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell which characters have an odd number of backslashes before them."""
    characters = np.frombuffer(piece, dtype=np.uint8)
    escaped: npt.NDArray[np.bool_] = (positions > 0) & (characters[positions - 1] == _BACKSLASH)
    for index in map(int, np.flatnonzero(escaped)):
        start = end = int(positions[index])
        while start and characters[start - 1] == _BACKSLASH:
            start -= 1
        escaped[index] = (end - start) % 2 == 1
    return escaped


def elements_of(text: bytes) -> list[bytes]:
    """Return the objects of a JSON array of objects, each as its own text.

    :raises BrokenJsonError: when ``text`` is cut off, or holds anything else than objects.
    """
    body = text.strip()
    if body[:1] != b"[" or body[-1:] != b"]":
        raise BrokenJsonError("it is no array")
    structure = _Structure()
    at, steps, depths = structure.scan(body)
    if structure.depth or structure.in_string or (depths[:-1] < 1).any():
        raise BrokenJsonError("its braces do not match")
    starts = at[(steps == 1) & (depths == 2)]
    ends = at[(steps == -1) & (depths == 1)]
    elements = [body[start : end + 1] for start, end in zip(starts, ends, strict=True)]
    between = [1, *(ends + 1)], [*starts, len(body) - 1]
    gaps = [body[low:high].strip() for low, high in zip(*between, strict=True)]
    expected = [b""] if not elements else [b"", *([b","] * (len(elements) - 1)), b""]
    if gaps != expected or any(element[:1] != b"{" for element in elements):
        raise BrokenJsonError("it is no array of objects")
    return elements


class Framer:
    """Cuts a stream of bytes into the JSON objects that follow each other in it, whatever space stands between."""

    def __init__(self) -> None:
        self._structure = _Structure()
        self._pieces: list[bytes] = []
        self._held_back = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes and return the values that are complete now.

        :raises BrokenJsonError: when the stream closes more braces than it opened.
        """
        piece = self._held_back + piece
        kept = len(piece) - len(piece.rstrip(b"\\"))
        piece, self._held_back = (piece[:-kept], piece[-kept:]) if kept else (piece, b"")
        at, _, depths = self._structure.scan(piece)
        if (depths < 0).any():
            raise BrokenJsonError("the stream closes a brace that it did not open")
        values, position = [], 0
        for end in at[depths == 0] + 1:
            values.append(b"".join([*self._pieces, piece[position:end]]).strip())
            self._pieces = []
            position = int(end)
        rest = piece[position:]
        if self._pieces or rest.strip():
            self._pieces.append(rest)
        return values


def answer_id(answer: bytes) -> Any:
    """Return the id of an answer (None when it has none).

    :raises BrokenJsonError: when ``answer`` is no JSON object.
    """
    found = _find_id(answer)
    if found is not None:
        return int(found[1])
    parsed = _parsed(answer)
    return parsed.get("id")


def with_id(answer: bytes, new_id: int) -> bytes:
    """Return the answer under another id; one without an id stays as it is.

    :raises BrokenJsonError: when ``answer`` is no JSON object.
    """
    found = _find_id(answer)
    if found is not None:
        return answer[: found.start(1)] + str(new_id).encode() + answer[found.end(1) :]
    parsed = _parsed(answer)
    return answer if "id" not in parsed else json.dumps({**parsed, "id": new_id}).encode()


def _find_id(answer: bytes) -> re.Match[bytes] | None:
    found = _ID_IN_FRONT.match(answer)
    if found is not None:
        return found
    return _ID_AT_END.search(answer, max(0, len(answer) - _END_BYTES))


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(answer)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise BrokenJsonError("it is no object")
    return parsed


def joined_results(number: int, results: Sequence[Any]) -> bytes:
    """Return one answer with id ``number`` whose result is the list of ``results``."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": list(results)}, separators=(",", ":")).encode()
