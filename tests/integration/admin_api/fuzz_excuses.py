"""Failures of Schemathesis that are none of ours, each with its reason."""

from __future__ import annotations

from support.fuzz import Excuse

EXCUSES: list[Excuse] = []
