"""Minutes: what happened in each is counted once it is over, for the charts of the dashboard
(docs/decisions/0033-minutes-and-live.md). Any number of controllers may run; one of them counts at a time.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from ampd.data_store import count_lake_minute, note_lags
from ampd.errors import AmpError
from ampd.jobs import count_job_minute
from ampd.metadata_db import MetadataDb

_log = structlog.get_logger(__name__)

_INTERVAL_SECONDS: Final = 10.0


async def run_minutes(db: MetadataDb) -> None:
    """Count for ever."""
    while True:
        try:
            await note_lags(db)
            more = True
            while more:
                more = await count_job_minute(db)
            more = True
            while more:
                more = await count_lake_minute(db)
        except AmpError as error:
            _log.warning("minutes.not_counted", error=error.message)
        await asyncio.sleep(_INTERVAL_SECONDS)
