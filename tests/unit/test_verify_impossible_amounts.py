"""Amounts that no chain has, as in a damaged file: they are reported like any wrong value, not raised."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ampd.chain.tables import TABLES
from oracle.verified import broken, column_values, recorded_tables, with_value

AMOUNTS = [(name, field.name) for name, schema in TABLES.items() for field in schema if pa.types.is_decimal(field.type)]
# Nothing in a block tells these: see test_verify_changed_values.py.
FREE = {"total_difficulty", "blob_gas_price"}


@pytest.mark.parametrize(("table", "column"), AMOUNTS)
def test_a_negative_amount_is_reported(table: str, column: str) -> None:
    tables = recorded_tables("ethereum/19433903")
    row = next((row for row, value in enumerate(column_values(tables[table], column)) if value is not None), 0)
    found = broken({**tables, table: with_value(tables[table], column, row, -1)})
    assert found or column in FREE
