"""Keeps the lake tidy, from every worker: objects that do not count go when nobody can want them any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from ampd.data_store import Leftovers, RangeStore
from ampd.errors import AmpError
from ampd.tasks import wait_until

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class KeeperSettings:
    """Seconds between two sweeps, and the age at which the listing of a revision's objects is made again."""

    sweep_seconds: float = 30.0
    listing_seconds: float = 86_400.0


class Slots(Protocol):
    """The slots of a worker; all that is of interest is their end."""

    closing: asyncio.Event


class LakeKeeper:
    """The :class:`ampd.worker.Companion` that sweeps and collects. Any number may do so at the same time."""

    def __init__(self, ranges: RangeStore, leftovers: Leftovers, settings: KeeperSettings) -> None:
        self._ranges = ranges
        self._leftovers = leftovers
        self._settings = settings

    async def run(self, slots: Slots) -> None:
        """See :class:`ampd.worker.Companion`."""
        while not await wait_until(slots.closing, self._settings.sweep_seconds):
            try:
                await self.tidy()
            except AmpError as error:
                _log.warning("lake.not_tidied", error=error.message)

    async def tidy(self) -> None:
        """Do once what is due."""
        await self._ranges.free_lost()
        await self._leftovers.sweep()
        await self._leftovers.collect()
        await self._leftovers.compare_one_revision(age_seconds=self._settings.listing_seconds)
