"""Query a dataset's Parquet files with DuckDB: the accounts that paid most for gas.

python examples/query_lake.py DATA_DIR/NAMESPACE/NAME
"""

# ruff: noqa: T201 - a program for people prints
from __future__ import annotations

import sys
from pathlib import Path

import duckdb

# The lake's directories are <table>/<revision>/<file>.parquet. Addresses are 20 bytes, amounts are wei.
PAYERS = """
SELECT '0x' || lower(hex(t."from")) AS account, count(*) AS transactions,
       round(sum(t.gas_used::DOUBLE * t.effective_gas_price::DOUBLE) / 1e18, 6) AS coins_paid
FROM read_parquet(?) AS t
GROUP BY account
ORDER BY coins_paid DESC, account
LIMIT 5
"""


def payers(dataset_dir: Path) -> list[tuple[str, int, float]]:
    """Return the five accounts that paid most: address, transactions, coins."""
    with duckdb.connect() as connection:
        return connection.execute(PAYERS, [str(dataset_dir / "transactions" / "*" / "*.parquet")]).fetchall()


def main() -> int:
    """Run the program; return its exit code."""
    for account, transactions, coins in payers(Path(sys.argv[1])):
        print(f"{account}  {transactions:>4} transactions  {coins:.6f} coins")
    return 0


if __name__ == "__main__":
    sys.exit(main())
