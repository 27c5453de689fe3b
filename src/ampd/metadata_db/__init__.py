"""PostgreSQL: connections, migrations, SQL files, and the embedded server of ``ampd solo``."""

from __future__ import annotations

from ampd.metadata_db.pool import Connection, MetadataDb, Row, shown_url
from ampd.metadata_db.queries import sql

__all__ = ["Connection", "MetadataDb", "Row", "shown_url", "sql"]
