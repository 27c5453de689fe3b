"""Schemas of SQL in the client: what they are, the call, the resource of each client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from ampd.client._transport import Call, Send, SendAsync

Json = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column. ``type`` is an Arrow type as manifests write it: ``"UInt64"``, ``{"FixedSizeBinary": 20}``."""

    name: str
    type: Any
    nullable: bool


@dataclass(frozen=True)
class TableSchema:
    """The columns of a table, in their order; ``raw`` is what the ``schema`` of a table in a manifest is."""

    columns: tuple[Column, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> TableSchema:
        """Read an entry of POST /schema."""
        columns = (Column(one["name"], one["type"], one["nullable"]) for one in data["arrow"]["fields"])
        return cls(tuple(columns), raw=data)


def _infer(
    tables: Mapping[str, str], dependencies: Mapping[str, str] | None, functions: Mapping[str, Json] | None
) -> Call[dict[str, TableSchema]]:
    body = {
        "tables": dict(tables),
        "dependencies": dict(dependencies or {}),
        "functions": dict(functions or {}),
    }
    return Call("POST", "/schema", _schemas, body=body, takes_long=True)


def _schemas(response: httpx.Response) -> dict[str, TableSchema]:
    return {table: TableSchema.from_json(schema) for table, schema in response.json()["schemas"].items()}


class Schemas:
    """SQL of derived tables: is it valid, and which columns does it give?"""

    def __init__(self, send: Send) -> None:
        self._send = send

    def infer(
        self,
        tables: Mapping[str, str],
        dependencies: Mapping[str, str] | None = None,
        functions: Mapping[str, Json] | None = None,
    ) -> dict[str, TableSchema]:
        """Check one query per table, and return the columns of each, ``_block_num`` first. Nothing is run.

        ``dependencies``: the datasets that queries read, by alias: ``namespace/name@revision``, with a semantic version
        or a manifest hash. Queries name their tables ``alias.table``, and each other ``self.table``. ``functions``:
        what they may call as ``self.name``: ``{"inputTypes": […], "outputType": …}``.
        """
        return self._send(_infer(tables, dependencies, functions))


class AsyncSchemas:
    """SQL of derived tables: is it valid, and which columns does it give?"""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def infer(
        self,
        tables: Mapping[str, str],
        dependencies: Mapping[str, str] | None = None,
        functions: Mapping[str, Json] | None = None,
    ) -> dict[str, TableSchema]:
        """Check one query per table, and return the columns of each: see :meth:`Schemas.infer`."""
        return await self._send(_infer(tables, dependencies, functions))
