"""What operators do with a lake, over one database and one object store."""

from __future__ import annotations

from copy import copy
from typing import Self

from ampd.data_store.restore_progress import RestoreProgress, restore_progress
from ampd.data_store.restoring import Restorer
from ampd.data_store.revisions import RevisionStore
from ampd.data_store.tables import Dataset
from ampd.metadata_db import MetadataDb
from ampd.object_store import ObjectStore


class LakeStores:
    """``revisions``, and what restores them."""

    def __init__(self, db: MetadataDb, lake: ObjectStore) -> None:
        self._db = db
        self.revisions = RevisionStore(db, lake)
        self.restorer = Restorer(db, lake)

    def limited_to(self, namespaces: tuple[str, ...]) -> Self:
        """Return the same stores for somebody who sees only the revisions of datasets in ``namespaces``."""
        limited = copy(self)
        limited.revisions = self.revisions.limited_to(namespaces)
        return limited

    async def restore_progress(self, dataset: Dataset) -> RestoreProgress:
        """Return how far the last restore of a dataset is.

        :raises AmpError: RESTORE_NOT_FOUND.
        """
        return await restore_progress(self._db, dataset)
