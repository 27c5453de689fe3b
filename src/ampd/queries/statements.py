"""What can be said of SQL, and of what DataFusion says of it, without a plan."""

from __future__ import annotations

import re
from typing import Final

from ampd.errors import AmpError, ErrorCode

_QUERY_WORDS: Final = frozenset({"SELECT", "WITH", "FROM", "VALUES"})
_BEFORE_FIRST_WORD: Final = re.compile(r"(?:\s|\(|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD: Final = re.compile(r"\w+")
# What can hide a $ or a ?: texts, quoted names, comments.
_QUOTED: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$""", re.DOTALL)
_PLACEHOLDER: Final = re.compile(r"\$\w+|\?")
_PARSER_ERROR: Final = re.compile(r'SQL error: \w+\("(.*)"\)', re.DOTALL)
_REFUSED_STATEMENT: Final = re.compile(r"(?:DDL|DML|Statement) not supported")
_COUNTED_STATEMENTS: Final = ("only supports a single SQL statement", "No SQL statements were provided")
_OF_THE_PLANNER: Final = ("type_coercion", "caused by", "This issue was likely caused by a bug in DataFusion")
_CALLS: Final = re.compile(
    "(?:Error during planning|Schema error|Internal error|This feature is not implemented): "
    "| or disable the [a-z_.]+ configuration"
)
_MAX_SHOWN: Final = 500


def error(code: ErrorCode, table: str, what: str) -> AmpError:
    """Return an error that says which table it is about."""
    return AmpError(code, f"table '{table}': {what}")


def check_statement(table: str, sql: str, failure: str | None) -> None:
    """Refuse what is not one query. ``failure`` is what DataFusion said, None: it could plan it.

    :raises AmpError: INVALID_TABLE_SQL, CATALOG_QUALIFIED_TABLE.
    """
    what = failure and _fault_of_text(failure)
    if what:
        raise error(ErrorCode.INVALID_TABLE_SQL, table, what)
    word = _first_word(sql)
    if word not in _QUERY_WORDS or (failure and _REFUSED_STATEMENT.search(failure)):
        raise error(
            ErrorCode.INVALID_TABLE_SQL,
            table,
            f"its SQL ({word} …) is no query: a table is one SELECT, and nothing else is taken here",
        )
    if failure and "Unsupported compound identifier" in failure:
        raise error(ErrorCode.CATALOG_QUALIFIED_TABLE, table, "a table is named alias.table, in two parts")
    placeholder = _PLACEHOLDER.search(_QUOTED.sub(" ", sql))
    if placeholder:
        what = f"{placeholder[0]} stands for a value that nobody gives: write the value"
        raise error(ErrorCode.INVALID_TABLE_SQL, table, what)


def invalid_plan(table: str, failure: str) -> AmpError:
    """Return the error of SQL that is one query, and cannot be planned."""
    text = failure.removeprefix("DataFusion error: ")
    lines = [line.strip() for line in text.splitlines()]
    # The names of passes of the planner, and its words around them, tell a writer of SQL nothing.
    said = [line for line in lines if line and not line.startswith(_OF_THE_PLANNER)]
    message = _CALLS.sub("", " ".join(said))
    cut = f"{message[:_MAX_SHOWN]}…" if len(message) > _MAX_SHOWN else message
    return error(ErrorCode.INVALID_PLAN, table, cut or "it cannot be planned")


def _fault_of_text(failure: str) -> str | None:
    if "RecursionLimitExceeded" in failure:
        return "its SQL is nested too deep: write fewer levels of parentheses, calls or subqueries"
    parser = _PARSER_ERROR.search(failure)
    if parser:
        return f"its SQL cannot be read: {parser[1][:_MAX_SHOWN]}"
    if any(part in failure for part in _COUNTED_STATEMENTS):
        return "its SQL is not exactly one statement: give each table one query, without another behind a ';'"
    return None


def _first_word(sql: str) -> str:
    start = _BEFORE_FIRST_WORD.match(sql)
    word = _WORD.match(sql, start.end() if start else 0)
    return word[0].upper()[:20] if word else ""
