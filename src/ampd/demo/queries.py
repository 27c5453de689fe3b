"""What the demo asks its lake, in plain SQL, with DuckDB. Any engine that reads Parquet can do the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ampd.chain.tables import TABLES

# DuckDB computes with microseconds, and blocks have whole seconds; in UTC without a zone, which Python needs no package
# to show.
_TIME = "timestamp::TIMESTAMPTZ AT TIME ZONE 'UTC' AS timestamp"


@dataclass(frozen=True)
class Query:
    """A question, and the SQL that answers it."""

    title: str
    sql: str


# The topic is keccak256("Transfer(address,address,uint256)"), the event of ERC-20 and ERC-721.
TOP_TOKENS = Query(
    "Tokens with the most transfers",
    """
SELECT '0x' || lower(hex(address)) AS token, count(*) AS transfers, count(DISTINCT tx_hash) AS transactions
FROM logs
WHERE topic0 = from_hex('ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef')
GROUP BY address
ORDER BY transfers DESC, token
LIMIT 5""",
)
GAS_BY_BLOCK = Query(
    "The fullest blocks",
    """
SELECT block_num, timestamp, gas_used, round(100.0 * gas_used / gas_limit, 1) AS percent_full,
       round(base_fee_per_gas / 1e9, 2) AS base_fee_gwei
FROM blocks
ORDER BY gas_used DESC, block_num
LIMIT 5""",
)
GAS_BY_HOUR = Query(
    "Gas by hour",
    """
SELECT date_trunc('hour', timestamp) AS hour, count(*) AS blocks, sum(gas_used)::HUGEINT AS gas_used,
       round(100.0 * sum(gas_used) / sum(gas_limit), 1) AS percent_full
FROM blocks
GROUP BY hour
ORDER BY hour
LIMIT 24""",
)
LARGEST_TRANSFERS = Query(
    "The largest transfers of the chain's coin",
    """
SELECT round(value::DOUBLE / 1e18, 3) AS coins, '0x' || lower(hex("from")) AS sender,
       '0x' || lower(hex("to")) AS recipient, block_num
FROM transactions
WHERE status IS DISTINCT FROM false
ORDER BY value::DOUBLE DESC, block_num, tx_index
LIMIT 5""",
)


@dataclass(frozen=True)
class Answer:
    """The rows of an answer, under the names of their columns."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


class Lake:
    """The tables of one dataset, as views over its Parquet files."""

    def __init__(self, dataset_dir: Path) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        for name in TABLES:
            files = str(dataset_dir / name / "*" / "*.parquet").replace("'", "''")
            self._connection.execute(f"CREATE VIEW {name} AS SELECT * REPLACE ({_TIME}) FROM read_parquet('{files}')")  # noqa: S608

    def ask(self, query: Query) -> Answer:
        """Run a query."""
        result = self._connection.execute(query.sql)
        return Answer([column[0] for column in result.description or []], result.fetchall())

    def spans_hours(self) -> bool:
        """Tell whether the blocks reach over more than two hours."""
        row = self._connection.execute(
            "SELECT max(timestamp) - min(timestamp) > INTERVAL 2 HOUR FROM blocks"
        ).fetchone()
        return bool(row and row[0])
