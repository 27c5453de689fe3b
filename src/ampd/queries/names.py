"""The tables that SQL can name, and which ones it did name.

DataFusion asks its catalog for every table of a statement before it plans. This catalog keeps what it was asked for, so
that nobody has to read SQL a second time, and knows nothing but the tables of the question: no file, no address, no
table of the planner's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset
from datafusion.catalog import CatalogProvider, CatalogProviderList, SchemaProvider, Table


@dataclass(frozen=True, order=True)
class TableName:
    """A table as SQL names it; what it leaves out is None."""

    catalog: str | None
    alias: str | None
    table: str

    def __str__(self) -> str:
        return ".".join(part for part in (self.catalog, self.alias, self.table) if part is not None)


@dataclass
class KnownTables:
    """The tables there are, by alias and name, and the names that were asked for."""

    # What DataFusion puts before names without alias or catalog: nobody can write it by chance.
    default: str = field(default_factory=lambda: f"none_{uuid4().hex}")
    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    asked: set[TableName] = field(default_factory=set)

    def add(self, alias: str, name: str, schema: pa.Schema) -> None:
        """Let SQL name ``alias.name``."""
        self.tables[alias, name] = Table(pyarrow.dataset.dataset(schema.empty_table()))

    def ask(self, catalog: str, alias: str, name: str) -> Table | None:
        """Return a table, and keep what was asked for."""
        written = TableName(self._written(catalog), self._written(alias), name)
        self.asked.add(written)
        return self.tables.get((alias, name)) if written.catalog is None else None

    def _written(self, part: str) -> str | None:
        return None if part == self.default else part


class Catalogs(CatalogProviderList):
    """Every catalog exists, so that a name with one is asked for and can be refused by its name."""

    def __init__(self, known: KnownTables) -> None:
        self._known = known

    def catalog_names(self) -> set[str]:
        """Return the one that names without a catalog are in."""
        return {self._known.default}

    def catalog(self, name: str) -> CatalogProvider:
        """Return a catalog."""
        return _Catalog(self._known, name)


class _Catalog(CatalogProvider):
    def __init__(self, known: KnownTables, name: str) -> None:
        self._known = known
        self._name = name

    def schema_names(self) -> set[str]:
        return {alias for alias, _ in self._known.tables}

    def schema(self, name: str) -> SchemaProvider:  # type: ignore[override]  # a provider is taken as well
        return _Schema(self._known, self._name, name)


class _Schema(SchemaProvider):
    def __init__(self, known: KnownTables, catalog: str, name: str) -> None:
        self._known = known
        self._catalog = catalog
        self._name = name

    def table_names(self) -> set[str]:
        return {table for alias, table in self._known.tables if alias == self._name}

    def table(self, name: str) -> Table | None:
        return self._known.ask(self._catalog, self._name, name)

    def table_exist(self, name: str) -> bool:
        return (self._name, name) in self._known.tables


def listed(names: Iterable[object], most: int = 20) -> str:
    """Return names for a message, the first ones of many."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")
