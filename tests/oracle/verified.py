"""What the verification says of recorded and made-up blocks, in short."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pyarrow as pa

from ampd.chain.commitments import Commitment, NotChecked, Verification
from ampd.chain.verification import verify_blocks
from oracle.recorded import Recorded, decoded, recorded

Tables = dict[str, pa.Table]


def tables_of(*chain: Recorded) -> Tables:
    """Return what the decoder makes of consecutive blocks."""
    return decoded(chain, expect_unknown_keys=False).tables


@cache
def _recorded_tables(name: str) -> Tables:
    return tables_of(recorded(name))


def recorded_tables(name: str) -> Tables:
    """Return the tables of a recorded block. Arrow tables do not change; the mapping is fresh."""
    return dict(_recorded_tables(name))


def broken(tables: Mapping[str, pa.Table], **options: Any) -> set[Commitment]:
    """Return the commitments that do not hold."""
    return {violation.commitment for violation in verify_blocks(tables, **options).violations}


def not_checked(tables: Mapping[str, pa.Table], **options: Any) -> set[Commitment]:
    """Return the commitments that could not be checked."""
    return {one.commitment for one in verify_blocks(tables, **options).not_checked}


def assert_verified(tables: Mapping[str, pa.Table], **options: Any) -> list[NotChecked]:
    """Fail with the first violation, if there is one; return what could not be checked."""
    outcome: Verification = verify_blocks(tables, **options)
    assert not outcome.violations, outcome.violations[0]
    assert outcome.blocks == tables["blocks"].num_rows
    return outcome.not_checked


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    """Return the table with other values in a column; a null may stand where the schema forbids it."""
    position = table.schema.get_field_index(name)
    field = table.schema.field(name).with_nullable(True)
    return table.set_column(position, field, pa.array(values, field.type))


def with_value(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    """Return the table with one other value."""
    values = column_values(table, name)
    values[row] = value
    return with_column(table, name, values)


def column_values(table: pa.Table, name: str) -> list[Any]:
    """Return a column as Python values; times as nanoseconds."""
    column = table.column(name)
    return (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
