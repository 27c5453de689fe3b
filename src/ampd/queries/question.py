"""What is asked: tables as SQL, the datasets that they read, and functions that they may call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa

from ampd.datasets.arrow_types import type_from_json
from ampd.datasets.names import shown
from ampd.errors import AmpError, ErrorCode

# The alias under which tables of one question name each other.
SELF: Final = "self"
MAX_SQL_CHARACTERS: Final = 256 * 1024
MAX_NAME_LENGTH: Final = 63
ALIAS_PATTERN: Final = r"[a-zA-Z][a-zA-Z0-9_]*"
TABLE_PATTERN: Final = r"[a-zA-Z_][a-zA-Z0-9_$]*"
_ALIAS: Final = re.compile(ALIAS_PATTERN)
_TABLE: Final = re.compile(TABLE_PATTERN)


@dataclass(frozen=True)
class Source:
    """A dataset that SQL may read: its reference, for messages, and what its manifest says."""

    reference: str
    kind: str
    network: str
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """A function that SQL may call; types are the JSON of :mod:`ampd.datasets.arrow_types`."""

    input_types: tuple[Any, ...]
    output_type: Any


@dataclass(frozen=True)
class Question:
    """Tables by name, each as its SQL; ``sources`` by alias, ``functions`` by name."""

    tables: Mapping[str, str]
    sources: Mapping[str, Source]
    functions: Mapping[str, Function]

    def check(self) -> None:
        """Refuse names that are none, and too much text.

        :raises AmpError: EMPTY_TABLES_AND_FUNCTIONS, INVALID_TABLE_NAME, INVALID_PAYLOAD_FORMAT, INVALID_TABLE_SQL.
        """
        if not self.tables and not self.functions:
            raise AmpError(
                ErrorCode.EMPTY_TABLES_AND_FUNCTIONS,
                'there are neither tables nor functions: want at least one table, {"tables": {"NAME": "SELECT …"}}',
            )
        for name in self.tables:
            if not is_table_name(name):
                raise AmpError(ErrorCode.INVALID_TABLE_NAME, f"{shown(name)} cannot name a table: {_RULE_OF_TABLES}")
        for name in self.functions:
            if not is_table_name(name):
                message = f"functions: {shown(name)} cannot name a function: {_RULE_OF_TABLES}"
                raise AmpError(ErrorCode.INVALID_PAYLOAD_FORMAT, message)
            self.types_of(name)
        check_aliases(self.sources)
        characters = sum(map(len, self.tables.values()))
        if characters > MAX_SQL_CHARACTERS:
            raise AmpError(
                ErrorCode.INVALID_TABLE_SQL,
                f"the SQL of all tables has {characters} characters, more than {MAX_SQL_CHARACTERS}: ask for fewer "
                "tables at once, or shorten it",
            )

    def types_of(self, function: str) -> tuple[list[pa.DataType], pa.DataType]:
        """Return the types of the arguments of a function, and of what it gives.

        :raises AmpError: INVALID_PAYLOAD_FORMAT.
        """
        declared = self.functions[function]
        try:
            return [type_from_json(each) for each in declared.input_types], type_from_json(declared.output_type)
        except (TypeError, ValueError) as fault:
            raise AmpError(ErrorCode.INVALID_PAYLOAD_FORMAT, f"functions.{function}: {fault}") from None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, for :meth:`from_json` in another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Question:
        """Read what :meth:`to_json` returned."""
        sources = {alias: Source(**{**one, "tables": tuple(one["tables"])}) for alias, one in data["sources"].items()}
        functions = {
            name: Function(tuple(one["input_types"]), one["output_type"]) for name, one in data["functions"].items()
        }
        return cls(data["tables"], sources, functions)


def is_table_name(text: str) -> bool:
    """Tell whether ``text`` can name a table."""
    return len(text) <= MAX_NAME_LENGTH and _TABLE.fullmatch(text) is not None


def check_aliases(aliases: Iterable[str]) -> None:
    """Refuse what cannot stand for a dataset in SQL.

    :raises AmpError: INVALID_PAYLOAD_FORMAT.
    """
    for alias in aliases:
        if alias == SELF:
            fault = "it means the tables of the request themselves"
        elif len(alias) > MAX_NAME_LENGTH or not _ALIAS.fullmatch(alias):
            fault = f"aliases have letters, digits and _, a letter first, and at most {MAX_NAME_LENGTH} characters"
        else:
            continue
        raise AmpError(ErrorCode.INVALID_PAYLOAD_FORMAT, f"dependencies: {shown(alias)} cannot be an alias: {fault}")


_RULE_OF_TABLES: Final = f"want letters, digits, _ and $, no digit or $ first, and at most {MAX_NAME_LENGTH} characters"
