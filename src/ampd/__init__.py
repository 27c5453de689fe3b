"""Blockchain extraction into a Parquet lake, as jobs an operator can trust."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("ampd")
