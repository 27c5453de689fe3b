"""What operators do with a lake, over one database and one object store."""

from __future__ import annotations

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

    async def restore_progress(self, dataset: Dataset) -> RestoreProgress:
        """Return how far the last restore of a dataset is.

        :raises AmpError: RESTORE_NOT_FOUND.
        """
        return await restore_progress(self._db, dataset)
