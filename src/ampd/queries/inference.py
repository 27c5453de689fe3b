"""The answer to a question: plans every table, in the order in which they need each other.

This imports DataFusion, which is slow to load and which hostile SQL can take down: only
:mod:`ampd.queries.process` does it, and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any

import pyarrow as pa
from datafusion import DataFrame, SessionConfig, SessionContext, SQLOptions, udf

from ampd.datasets.manifests import TABLES_OF_KIND
from ampd.datasets.names import shown
from ampd.errors import AmpError, ErrorCode
from ampd.queries.columns import columns_json, columns_of
from ampd.queries.incremental import BLOCK_NUM_FUNCTION, IncrementalRule
from ampd.queries.names import Catalogs, KnownTables, TableName, listed
from ampd.queries.question import SELF, Question, is_table_name
from ampd.queries.statements import check_statement, error, invalid_plan

Columns = list[dict[str, Any]]
_TABLE_FUNCTIONS = ("generate_series", "range")


def infer(question: Question, begins: Callable[[str], None] = lambda _table: None) -> dict[str, Columns]:
    """Return the columns of every table, ``_block_num`` first: ``{"name", "type", "nullable"}``.

    ``begins`` is told each table before it is planned.

    :raises AmpError: what is wrong, and with which table.
    """
    question.check()
    return _Inference(question, begins).answer()


class _Inference:
    def __init__(self, question: Question, begins: Callable[[str], None]) -> None:
        self._question = question
        self._begins = begins
        self._known = KnownTables()
        self._networks: dict[str, str] = {}
        for alias, source in question.sources.items():
            for table in source.tables:
                self._known.add(alias, table, TABLES_OF_KIND[source.kind][table])
        self._session = _session(self._known)
        _register_functions(self._session, question)

    def answer(self) -> dict[str, Columns]:
        tables = self._question.tables
        named = {table: self._names_of(table) for table in tables}
        siblings = {table: {name.table for name in names if name.alias == SELF} for table, names in named.items()}
        found = {table: self._columns(table, named[table]) for table in _in_order(siblings)}
        return {table: found[table] for table in tables}

    def _names_of(self, table: str) -> set[TableName]:
        """Return the tables that the SQL of ``table`` names, all of which are there."""
        _, failure = self._plan(table)
        check_statement(table, self._question.tables[table], failure)
        names = set(self._known.asked)
        if not names:
            what = "it names no table: want FROM alias.table, of an alias of the dependencies"
            raise error(ErrorCode.NO_TABLE_REFERENCES, table, what)
        for name in sorted(names, key=str):
            self._check_name(table, name)
        return names

    def _check_name(self, table: str, name: TableName) -> None:
        if name.catalog is not None:
            what = f"{shown(str(name))} has a catalog: a table is named alias.table, in two parts"
            raise error(ErrorCode.CATALOG_QUALIFIED_TABLE, table, what)
        aliases = [*self._question.sources, SELF]
        if name.alias is None:
            what = (
                f"{shown(name.table)} has no alias: a table is named alias.table; aliases are {listed(aliases)}. "
                "Files, addresses and functions that make tables cannot be read"
            )
            raise error(ErrorCode.TABLE_REFERENCE_RESOLUTION, table, what)
        if name.alias not in aliases:
            what = f"there is no alias {shown(name.alias)}; there are {listed(aliases)}{_CAPITALS}"
            raise error(ErrorCode.TABLE_REFERENCE_RESOLUTION, table, what)
        if not is_table_name(name.table):
            raise error(ErrorCode.INVALID_TABLE_NAME, table, f"{shown(name.table)} cannot name a table")
        if name.alias == SELF:
            self._check_sibling(table, name.table)
        elif (name.alias, name.table) not in self._known.tables:
            source = self._question.sources[name.alias]
            what = f"'{source.reference}' has no table {shown(name.table)}; it has {listed(source.tables)}"
            raise error(ErrorCode.TABLE_REFERENCE_RESOLUTION, table, what)

    def _check_sibling(self, table: str, sibling: str) -> None:
        if sibling == table:
            raise error(ErrorCode.SELF_REFERENCING_TABLE, table, "it reads itself: name another table")
        if sibling not in self._question.tables:
            what = f"there is no table {shown(sibling)} in this request; there are {listed(self._question.tables)}"
            raise error(ErrorCode.SELF_REF_TABLE_NOT_FOUND, table, what + _CAPITALS)

    def _columns(self, table: str, names: set[TableName]) -> Columns:
        frame, failure = self._plan(table)
        if frame is None:
            raise invalid_plan(table, failure or "")
        try:
            analyzed = frame.optimized_logical_plan()  # without optimizing: see _session
            planned = self._session.create_dataframe_from_logical_plan(analyzed).schema()
        except Exception as fault:
            raise invalid_plan(table, str(fault)) from None
        IncrementalRule(table, lambda part: self._session.create_dataframe_from_logical_plan(part).schema()).check(
            frame.logical_plan()
        )
        schema = columns_of(table, planned)
        self._networks[table] = self._network_of(table, names)
        self._known.add(SELF, table, schema)
        return columns_json(table, schema)

    def _network_of(self, table: str, names: set[TableName]) -> str:
        """Return the network of all tables that ``table`` reads: block numbers of two networks say nothing together."""
        networks = {
            self._networks[name.table] if name.alias == SELF else self._question.sources[str(name.alias)].network
            for name in names
        }
        if len(networks) > 1:
            what = f"it reads tables of several networks ({listed(sorted(networks))}), and follows one chain only"
            raise error(ErrorCode.NON_INCREMENTAL_QUERY, table, what)
        return networks.pop()

    def _plan(self, table: str) -> tuple[DataFrame | None, str | None]:
        """Plan the SQL of ``table``; return what came of it, or what DataFusion said."""
        self._begins(table)
        self._known.asked.clear()
        try:
            return self._session.sql_with_options(self._question.tables[table], _only_queries()), None
        except Exception as fault:  # of many classes; all of them are about the SQL
            return None, str(fault)


_CAPITALS = '. Names without double quotes are read in lower case: write "Name" when it has capitals'


def _session(known: KnownTables) -> SessionContext:
    config = (
        SessionConfig()
        .with_create_default_catalog_and_schema(False)
        .with_default_catalog_and_schema(known.default, known.default)
        .with_information_schema(False)
        .with_target_partitions(1)
        # Types come from analysis. Optimizing would evaluate constants, such as repeat('x', 1000000000).
        .set("datafusion.optimizer.max_passes", "0")
        # Text is Utf8, as in all tables of ours.
        .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
    )
    session = SessionContext(config)
    session.register_catalog_provider_list(Catalogs(known))
    for name in _TABLE_FUNCTIONS:
        session.deregister_udtf(name)
    return session


def _only_queries() -> SQLOptions:
    return SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)


def _register_functions(session: SessionContext, question: Question) -> None:
    block_num = pa.field(BLOCK_NUM_FUNCTION, pa.uint64(), nullable=False)
    session.register_udf(udf(_never_called, [], block_num, "volatile", BLOCK_NUM_FUNCTION))
    for name in question.functions:
        inputs, output = question.types_of(name)
        # DataFusion knows a name of two parts as it was written.
        for written in (f"{SELF}.{name}", f'{SELF}."{name}"'):
            session.register_udf(udf(_never_called, inputs, output, "volatile", written))


def _never_called(*_arguments: Any) -> Any:
    raise AssertionError("plans are made, not run")


def _in_order(needs: dict[str, set[str]]) -> Iterable[str]:
    """Return tables behind those that they need.

    :raises AmpError: CYCLIC_DEPENDENCY.
    """
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as fault:
        ring = fault.args[1]
        raise AmpError(
            ErrorCode.CYCLIC_DEPENDENCY,
            f"tables read each other in a ring ({' ← '.join(ring)}): none of them can be first; take one out of it",
        ) from None
