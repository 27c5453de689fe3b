"""How long nodes want to be left alone: kept in PostgreSQL, so that one worker's rate limit is every worker's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ampd.metadata_db import MetadataDb, sql

# A node may ask for any time; after this one it is worth a new try.
LONGEST_COOLDOWN_SECONDS: Final = 86_400.0
_MOST_REASON: Final = 500


class EndpointCooldowns:
    """The cooldowns of endpoints by their keys (64 hex digits that tell no secret), by the database's clock."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db

    async def begin(self, key: str, seconds: float, reason: str) -> None:
        """Let ``key`` rest for ``seconds`` from now; a cooldown that ends later stays.

        :raises AmpError: METADATA_DB_UNREACHABLE.
        """
        wanted = {"key": key, "seconds": min(seconds, LONGEST_COOLDOWN_SECONDS), "reason": reason[:_MOST_REASON]}
        await self._db.execute(sql("datasets", "begin_cooldown"), wanted)

    async def count(self) -> int:
        """Return how many endpoints rest.

        :raises AmpError: METADATA_DB_UNREACHABLE.
        """
        row = await self._db.fetch_one(sql("datasets", "count_cooldowns"))
        return int(row["resting"]) if row else 0

    async def remaining(self, keys: Sequence[str]) -> dict[str, float]:
        """Return the seconds that are left, for those of ``keys`` that rest.

        :raises AmpError: METADATA_DB_UNREACHABLE.
        """
        rows = await self._db.fetch_all(sql("datasets", "remaining_cooldowns"), {"keys": list(keys)})
        return {row["endpoint_key"]: row["seconds"] for row in rows}
