"""The handler of extraction jobs: which blocks are missing, fetched, decoded, checked, written, committed."""

from __future__ import annotations

from ampd.extraction.handler import ExtractionHandler, ExtractionSettings

__all__ = ["ExtractionHandler", "ExtractionSettings"]
