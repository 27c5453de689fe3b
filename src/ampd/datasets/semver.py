"""Semantic versions: parsing and precedence (semver.org, version 2.0.0)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_NUMBER = r"0|[1-9][0-9]*"
_PRERELEASE_PART = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
PATTERN = (
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-({_PRERELEASE_PART}(?:\.{_PRERELEASE_PART})*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
_VERSION = re.compile(PATTERN)
MAX_LENGTH = 255

_Precedence = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


@total_ordering
@dataclass(frozen=True, eq=False)
class SemanticVersion:
    """A version such as ``1.10.0-rc.1+build5``.

    ``<`` and ``==`` compare precedence (section 11 of the specification): build metadata does not count there, so two
    versions may be equal and have different texts.
    """

    text: str
    precedence: _Precedence

    @classmethod
    def parse(cls, text: str) -> SemanticVersion | None:
        """Return the version that ``text`` writes, or None when it is not one."""
        found = _VERSION.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if found is None:
            return None
        major, minor, patch, prerelease, _ = found.groups()
        parts = tuple(_rank(part) for part in prerelease.split(".")) if prerelease else ()
        # A release stands above all its prereleases.
        return cls(text, (int(major), int(minor), int(patch), prerelease is None, parts))

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SemanticVersion) and self.precedence == other.precedence

    def __hash__(self) -> int:
        return hash(self.precedence)

    def __lt__(self, other: SemanticVersion) -> bool:
        return self.precedence < other.precedence


def _rank(part: str) -> tuple[bool, int, str]:
    """Return what orders a prerelease identifier: numbers by value and below words, words by ASCII."""
    return (False, int(part), "") if part.isdigit() else (True, 0, part)
