"""Files and buckets behind one small face."""

from __future__ import annotations

from ampd.object_store.settings import StoreSettings
from ampd.object_store.store import ObjectInfo, ObjectStore, PutResult, StoreCheck, StoredPart

__all__ = ["ObjectInfo", "ObjectStore", "PutResult", "StoreCheck", "StoreSettings", "StoredPart"]
