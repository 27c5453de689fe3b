"""The columns of a derived table, as a manifest writes them."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import pyarrow as pa

from ampd.datasets.arrow_types import normal_type, type_to_json
from ampd.errors import ErrorCode
from ampd.queries.names import listed
from ampd.queries.statements import error

BLOCK_NUM: Final = "_block_num"
_BLOCK_NUM_FIELD: Final = pa.field(BLOCK_NUM, pa.uint64(), nullable=False)


def columns_of(table: str, planned: pa.Schema) -> pa.Schema:
    """Return the columns that a table of this plan gets: ``_block_num`` first, which every table has.

    :raises AmpError: INVALID_PLAN.
    """
    if not planned.names:
        raise error(ErrorCode.INVALID_PLAN, table, "it selects no column")
    repeated = [name for name, times in Counter(planned.names).items() if times > 1]
    if repeated:
        hint = " (block_num() gives the block of a joined row)" if BLOCK_NUM in repeated else ""
        what = f"more than one column is named {listed(map(repr, repeated))}: name them apart with AS{hint}"
        raise error(ErrorCode.INVALID_PLAN, table, what)
    others = [field.remove_metadata() for field in planned if field.name != BLOCK_NUM]
    return pa.schema([_BLOCK_NUM_FIELD, *others])


def columns_json(table: str, schema: pa.Schema) -> list[dict[str, Any]]:
    """Return columns as JSON: ``{"name", "type", "nullable"}``.

    :raises AmpError: INVALID_PLAN for a type that manifests do not know.
    """
    return [_column_json(table, field) for field in schema]


def _column_json(table: str, field: pa.Field) -> dict[str, Any]:
    try:
        kind = normal_type(type_to_json(field.type))
    except (TypeError, ValueError) as fault:
        what = f"column {field.name!r} has a type that no manifest knows ({fault}): CAST it to another"
        raise error(ErrorCode.INVALID_PLAN, table, what) from None
    return {"name": field.name, "type": kind, "nullable": field.nullable}
