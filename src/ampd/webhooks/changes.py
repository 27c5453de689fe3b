"""What has changed of webhooks since the last look, for those who watch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ampd.metadata_db import MetadataDb, sql
from ampd.metadata_db.late_ids import LateIds, LatePage

# The namespaces of a webhook's filter; None: it is told of all.
Namespaces = frozenset[str] | None


class WebhookChanges:
    """One watcher's looks at the webhooks of a metadata database and at their deliveries: none that is new is missed,
    however late its transaction commits. Of those that wait the first 200 of each endpoint are looked at: others wait
    for these.
    """

    def __init__(self, db: MetadataDb) -> None:
        self._db = db
        self._deliveries = LateIds()
        self._known: dict[int, tuple[Namespaces, str]] | None = None

    async def look(self) -> Sequence[Namespaces]:
        """Return of each webhook that has changed since the last look, or whose deliveries have, its namespaces.

        :raises AmpError: METADATA_DB_UNREACHABLE; the next look tells what this one would have told.
        """
        row = await self._db.fetch_one(sql("webhooks", "changes_of_webhooks"), self._deliveries.bounds)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
        fresh = self._deliveries.take(LatePage.of(row, (each[0] for each in row["deliveries"])))
        now = _known(row["webhooks"])
        before, self._known = self._known, now
        if before is None:
            return []
        if fresh is None:
            return [namespaces for namespaces, _ in now.values()]
        changed = {webhook_id for delivery_id, webhook_id in row["deliveries"] if delivery_id in fresh}
        changed |= {each for each in before.keys() | now.keys() if before.get(each) != now.get(each)}
        return [(now.get(each) or before.get(each) or (None, ""))[0] for each in changed]


def _known(rows: Sequence[Any]) -> dict[int, tuple[Namespaces, str]]:
    return {
        webhook_id: (None if namespaces is None else frozenset(namespaces), version)
        for webhook_id, namespaces, version in rows
    }
