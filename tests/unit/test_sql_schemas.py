"""SQL of derived tables: the columns that it gives, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from ampd.chain.tables import TABLES
from ampd.datasets.arrow_types import type_to_json
from ampd.errors import AmpError
from ampd.queries import Function, Question, Source
from ampd.queries.inference import infer

MAINNET = Source("ethereum/mainnet@1.0.0", "evm-rpc", "mainnet", tuple(TABLES))
OTHER = Source("base/base@1.0.0", "evm-rpc", "base", ("blocks", "logs"))
SOURCES = {"eth": MAINNET, "base": OTHER}
BLOCK_NUM = ("_block_num", "UInt64", False)
ADDRESS = ("address", {"FixedSizeBinary": 20}, False)
BYTES_32 = {"FixedSizeBinary": 32}


def columns(sql: str, functions: dict[str, Function] | None = None) -> list[tuple[str, Any, bool]]:
    found = infer(Question({"t": sql}, SOURCES, functions or {}))["t"]
    return [(one["name"], one["type"], one["nullable"]) for one in found]


def refusal(tables: str | dict[str, str], functions: dict[str, Function] | None = None) -> tuple[str, str]:
    question = Question({"t": tables} if isinstance(tables, str) else tables, SOURCES, functions or {})
    with pytest.raises(AmpError) as caught:
        infer(question)
    return str(caught.value.code), caught.value.message


@pytest.mark.parametrize("table", TABLES)
def test_everything_of_a_table_has_the_columns_of_the_table(table: str) -> None:
    expected = [(field.name, type_to_json(field.type), field.nullable) for field in TABLES[table]]
    assert columns(f"SELECT * FROM eth.{table}") == expected


def test_the_block_comes_first_whether_it_was_selected_or_not() -> None:
    assert columns("SELECT address FROM eth.logs") == [BLOCK_NUM, ADDRESS]
    assert columns("SELECT address, _block_num FROM eth.logs") == [BLOCK_NUM, ADDRESS]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("block_num() AS x", ("x", "UInt64", False)),
        ("count(*) AS x", ("x", "Int64", False)),
        ("CAST(max(log_index) AS VARCHAR) AS x", ("x", "Utf8", True)),
        ("array_agg(topic0) AS x", None),
        ("sum(CAST(log_index AS DECIMAL(38, 0))) AS x", ("x", {"Decimal128": [38, 0]}, True)),
    ],
)
def test_expressions_have_the_types_that_datafusion_gives_them(expression: str, expected: Any) -> None:
    found = columns(f"SELECT {expression} FROM eth.logs GROUP BY block_num()")[1]
    if expected is None:
        expected = ("x", type_to_json(pa.list_(pa.field("item", pa.binary(32)))), True)
    assert found == expected


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (SELECT * FROM eth.logs) SELECT address FROM x WHERE topic0 IS NOT NULL",
        "SELECT address FROM eth.logs UNION ALL SELECT address FROM eth.withdrawals",
        "SELECT l.address FROM eth.logs l JOIN eth.blocks b ON l.block_hash = b.hash",
        "SELECT l.address FROM eth.logs l LEFT SEMI JOIN eth.blocks b ON l.block_hash = b.hash",
        "SELECT address FROM eth.logs WHERE block_hash IN (SELECT hash FROM eth.blocks) AND log_index > 1",
        "SELECT address FROM eth.logs l WHERE EXISTS (SELECT 1 FROM eth.blocks b WHERE b.hash = l.block_hash)",
        "SELECT DISTINCT ON (_block_num, address) address FROM eth.logs",
        "SELECT address FROM eth.logs GROUP BY _block_num, address",
        "(SELECT /* ; $1 */ address FROM ETH.Logs); -- ?",
    ],
)
def test_what_one_block_is_enough_for_is_taken(sql: str) -> None:
    assert columns(sql) == [BLOCK_NUM, ADDRESS]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT address FROM eth.logs LIMIT 5", "LIMIT"),
        ("SELECT address FROM eth.logs ORDER BY address", "ORDER BY"),
        ("SELECT DISTINCT address FROM eth.logs", "DISTINCT"),
        ("SELECT address FROM eth.logs UNION SELECT address FROM eth.withdrawals", "UNION without ALL"),
        ("SELECT DISTINCT ON (address) address FROM eth.logs", "the first key must be _block_num"),
        ("SELECT address, count(*) FROM eth.logs GROUP BY address", "the first key must be _block_num"),
        ("SELECT address FROM eth.logs GROUP BY ROLLUP (_block_num, address)", "the first key must be _block_num"),
        ("SELECT count(*) FROM eth.logs", "the first key must be _block_num"),
        ("SELECT row_number() OVER () AS n FROM eth.logs", "window"),
        ("SELECT l.address FROM eth.logs l LEFT JOIN eth.blocks b ON l.block_hash = b.hash", "Left"),
        ("SELECT l.address FROM eth.logs l LEFT ANTI JOIN eth.blocks b ON l.block_hash = b.hash", "LeftAnti"),
        ("SELECT a.address FROM eth.logs a JOIN eth.logs b USING (tx_hash) JOIN eth.logs c USING (tx_hash)", "joins"),
        ("SELECT address FROM eth.logs WHERE block_hash NOT IN (SELECT hash FROM eth.blocks)", "subquery"),
        ("SELECT address FROM eth.logs WHERE topic0 IS NULL OR EXISTS (SELECT 1 FROM eth.blocks)", "subquery"),
        ("SELECT (SELECT max(gas_used) FROM eth.blocks) AS m FROM eth.logs", "subquery"),
        ("SELECT address FROM eth.logs WHERE block_hash IN (SELECT hash FROM eth.blocks LIMIT 1)", "subquery"),
        ("SELECT address FROM eth.logs WHERE block_hash IN (SELECT hash FROM eth.blocks GROUP BY hash)", "subquery"),
        (
            "SELECT l.address FROM eth.logs l JOIN eth.blocks b ON l.block_hash = b.hash "
            "WHERE l.tx_hash IN (SELECT tx_hash FROM eth.transactions)",
            "joins",
        ),
        (
            "SELECT l.address FROM eth.logs l, LATERAL (SELECT 1 FROM eth.blocks b WHERE b.hash = l.tx_hash) x",
            "LATERAL",
        ),
        ("SELECT address FROM eth.logs UNION ALL SELECT X'00'", "without FROM"),
        ("SELECT l.address FROM eth.logs l JOIN base.blocks b ON l.block_num = b.block_num", "base, mainnet"),
        ("SELECT a.address FROM eth.logs a UNION ALL SELECT address FROM base.logs", "base, mainnet"),
    ],
)
def test_what_needs_more_than_one_block_is_refused_and_the_message_says_why(sql: str, says: str) -> None:
    code, message = refusal(sql)
    assert code == "NON_INCREMENTAL_QUERY"
    assert message.startswith("table 't': ")
    assert says in message


@pytest.mark.parametrize(
    "sql",
    [
        "COPY eth.logs TO '{file}'",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{file}'",
        "CREATE TABLE x AS SELECT 1",
        "SELECT * INTO x FROM eth.logs",
        "INSERT INTO eth.logs VALUES (1)",
        "DELETE FROM eth.logs",
        "DROP TABLE eth.logs",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN SELECT * FROM eth.logs",
        "EXPLAIN ANALYZE SELECT * FROM eth.logs",
        "DESCRIBE eth.logs",
        "SHOW TABLES",
        "PREPARE p AS SELECT 1",
        "SELECT address FROM eth.logs; SELECT 1",
        "SELECT address FROM eth.logs; DROP TABLE eth.logs",
        "SELECT address FROM eth.logs WHERE log_index = $1",
        "SELEC address FROM eth.logs",
        "-- nothing",
        "",
    ],
)
def test_what_is_not_one_query_is_refused(sql: str, tmp_path: Path) -> None:
    code, message = refusal(sql.replace("{file}", str(tmp_path / "file.parquet")))
    assert code == "INVALID_TABLE_SQL"
    assert message.startswith("table 't': ")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_parser_says_at_which_place() -> None:
    code, message = refusal("SELECT address\nFROM FROM eth.logs")
    assert code == "INVALID_TABLE_SQL"
    assert "Line: 2" in message


@pytest.mark.parametrize("name", ["'{file}'", '"{file}"', "read_parquet('{file}')", "parquet_metadata('{file}')"])
def test_no_file_of_the_controller_can_be_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file.parquet"
    pa.parquet.write_table(pa.table({"confidential": [1]}), file)
    code, message = refusal(f"SELECT * FROM {name.replace('{file}', str(file))}")
    assert code == "TABLE_REFERENCE_RESOLUTION"
    assert "confidential" not in message


@pytest.mark.parametrize(
    ("sql", "code", "says"),
    [
        ("SELECT * FROM logs", "TABLE_REFERENCE_RESOLUTION", "aliases are eth, base, self"),
        ("SELECT * FROM generate_series(1, 10)", "TABLE_REFERENCE_RESOLUTION", "functions that make tables"),
        ("SELECT * FROM sol.logs", "TABLE_REFERENCE_RESOLUTION", "there is no alias 'sol'"),
        ("SELECT * FROM information_schema.tables", "TABLE_REFERENCE_RESOLUTION", "information_schema"),
        ("SELECT * FROM base.transactions", "TABLE_REFERENCE_RESOLUTION", "it has blocks, logs"),
        ("SELECT * FROM x.eth.logs", "CATALOG_QUALIFIED_TABLE", "'x.eth.logs'"),
        ("SELECT * FROM y.x.eth.logs", "CATALOG_QUALIFIED_TABLE", "in two parts"),
        ('SELECT * FROM eth."a b"', "INVALID_TABLE_NAME", "'a b'"),
        ("SELECT 1", "NO_TABLE_REFERENCES", "alias.table"),
        ("WITH x AS (SELECT 1 AS a) SELECT * FROM x", "NO_TABLE_REFERENCES", "alias.table"),
        ("SELECT nope FROM eth.logs", "INVALID_PLAN", "No field named nope. Valid fields are eth.logs._block_num"),
        ("SELECT nope(address) FROM eth.logs", "INVALID_PLAN", "Invalid function 'nope'"),
        ("SELECT address FROM eth.logs WHERE topic0 = 5", "INVALID_PLAN", "FixedSizeBinary(32) = Int64"),
        ("SELECT log_index AS _block_num FROM eth.logs", "INVALID_PLAN", "_block_num is the block of a row"),
        ("WITH x(_block_num) AS (SELECT block_num FROM eth.logs) SELECT * FROM x", "INVALID_PLAN", "_block_num is"),
        ("SELECT _block_num FROM eth.logs UNION ALL SELECT block_num FROM eth.logs", "INVALID_PLAN", "_block_num is"),
        ("SELECT * FROM eth.logs a JOIN eth.logs b USING (tx_hash)", "INVALID_PLAN", "block_num() gives"),
        ("SELECT address, topic0 AS address FROM eth.logs", "INVALID_PLAN", "address which would be ambiguous"),
        ("SELECT arrow_cast(extra, 'Dictionary(Int8, Utf8)') AS x FROM eth.logs", "INVALID_PLAN", "column 'x'"),
        ("FROM eth.logs", "INVALID_PLAN", "selects no column"),
    ],
)
def test_what_is_wrong_with_names_and_types_is_told(sql: str, code: str, says: str) -> None:
    told = refusal(sql)
    assert told[0] == code
    assert says in told[1]
    assert "none_" not in told[1]


def test_a_table_reads_others_of_the_request_whatever_their_order() -> None:
    tables = {
        "late": "SELECT topic0, n + 1 AS n FROM self.early WHERE n > 1",
        "early": "SELECT topic0, count(*) AS n FROM eth.logs GROUP BY _block_num, topic0",
    }
    found = infer(Question(tables, SOURCES, {}))
    assert list(found) == ["late", "early"]
    assert [(one["name"], one["type"], one["nullable"]) for one in found["late"]] == [
        BLOCK_NUM,
        ("topic0", BYTES_32, True),
        ("n", "Int64", False),
    ]


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ({"a": "SELECT * FROM self.a"}, "SELF_REFERENCING_TABLE"),
        ({"a": "SELECT * FROM self.b"}, "SELF_REF_TABLE_NOT_FOUND"),
        ({"A": "SELECT * FROM eth.logs", "b": "SELECT * FROM self.A"}, "SELF_REF_TABLE_NOT_FOUND"),
        ({"a": "SELECT * FROM self.b", "b": "SELECT * FROM self.c", "c": "SELECT * FROM self.a"}, "CYCLIC_DEPENDENCY"),
        ({"a": "SELECT * FROM base.logs", "b": "SELECT a.address FROM eth.logs e, self.a"}, "NON_INCREMENTAL_QUERY"),
        ({"a b": "SELECT * FROM eth.logs"}, "INVALID_TABLE_NAME"),
        ({"a" * 64: "SELECT * FROM eth.logs"}, "INVALID_TABLE_NAME"),
        ({"a": "SELECT * FROM eth.logs" + " " * 2**18}, "INVALID_TABLE_SQL"),
        ({}, "EMPTY_TABLES_AND_FUNCTIONS"),
    ],
)
def test_tables_that_cannot_be_together_are_refused(tables: dict[str, str], code: str) -> None:
    assert refusal(tables)[0] == code


def test_functions_of_the_request_have_the_types_that_they_declare() -> None:
    functions = {
        "short": Function(({"FixedSizeBinary": 20}, "Int64"), "Utf8"),
        "Long": Function((), {"Decimal128": [38, 0]}),
    }
    found = columns('SELECT self.short(address, 4) AS a, self."Long"() AS b FROM eth.logs', functions)
    assert found == [BLOCK_NUM, ("a", "Utf8", True), ("b", {"Decimal128": [38, 0]}, True)]
    code, message = refusal("SELECT self.short(address, address) AS a FROM eth.logs", functions)
    assert code == "INVALID_PLAN"
    assert "self.short(FixedSizeBinary(20), Int64)" in message
