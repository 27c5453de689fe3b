"""The handlers of extraction jobs (which blocks are missing, fetched, decoded, checked, written, committed), of
verification jobs (whether a lake that exists holds) and of compaction jobs.
"""

from __future__ import annotations

from ampd.extraction.compaction_job import CompactionHandler
from ampd.extraction.handler import ExtractionHandler
from ampd.extraction.held_ranges import HeldRanges
from ampd.extraction.lake_keeper import KeeperSettings, LakeKeeper
from ampd.extraction.open_extractions import OpenExtractions
from ampd.extraction.parts import CompactionSettings, ExtractionSettings, Parts, SegmentLimits
from ampd.extraction.range_borrower import RangeBorrower
from ampd.extraction.verification import VerificationHandler

__all__ = [
    "CompactionHandler",
    "CompactionSettings",
    "ExtractionHandler",
    "ExtractionSettings",
    "HeldRanges",
    "KeeperSettings",
    "LakeKeeper",
    "OpenExtractions",
    "Parts",
    "RangeBorrower",
    "SegmentLimits",
    "VerificationHandler",
]
