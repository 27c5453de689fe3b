"""PostgreSQL: connections, migrations, SQL files, and the embedded server of ``ampd solo``."""

from __future__ import annotations

from ampd.metadata_db.embedded import EmbeddedPostgres
from ampd.metadata_db.limited import LimitedStore
from ampd.metadata_db.migrate import (
    migrate,
    migrate_at_start,
    migration_status,
    pending_migrations,
    require_migrated,
)
from ampd.metadata_db.migration_files import Phase
from ampd.metadata_db.pool import Connection, MetadataDb, Row
from ampd.metadata_db.queries import sql

__all__ = [
    "Connection",
    "EmbeddedPostgres",
    "LimitedStore",
    "MetadataDb",
    "Phase",
    "Row",
    "migrate",
    "migrate_at_start",
    "migration_status",
    "pending_migrations",
    "require_migrated",
    "sql",
]
