"""Whether a plan can be computed block by block, as chains grow.

A derived table follows its sources: rows of new blocks come, those of replaced blocks go. That works for what needs the
rows of one block only: projections, filters, unions, unnesting, a join, and groups of which the block is a part.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from ampd.errors import ErrorCode
from ampd.queries.columns import BLOCK_NUM
from ampd.queries.statements import error

BLOCK_NUM_FUNCTION: Final = "block_num"
_PASSED_THROUGH: Final = frozenset({"Projection", "SubqueryAlias", "Union", "Unnest", "TableScan", "Filter"})
_JOINS: Final = frozenset({"Inner", "LeftSemi", "RightSemi"})
_ONE_JOIN: Final = "joins stand on each other: have one join, and make the other one a table of its own (self.TABLE)"
_BLOCK_FIRST: Final = f"the first key must be {BLOCK_NUM} or {BLOCK_NUM_FUNCTION}()"
_REFUSED: Final = {
    "Limit": "LIMIT counts over all blocks: filter by a condition instead",
    "Sort": "ORDER BY sorts over all blocks: sort when you read the table",
    "Window": "a window function looks at rows of other blocks",
    "RecursiveQuery": "a recursive query has no end that one block gives",
    "EmptyRelation": "a SELECT without FROM belongs to no block",
    "Values": "VALUES belong to no block",
    "Subquery": "LATERAL is not taken: write a JOIN",
}
_DISTINCT_ON: Final = re.compile(
    rf'DistinctOn: on_expr=\[\[(?:(?:[\w$".]+\.)?{BLOCK_NUM}|{BLOCK_NUM_FUNCTION}\(\))(?:, |\]\])'
)
# What may stand in a plan with subqueries, beside groups, which must not be in them.
_BESIDE_SUBQUERIES: Final = _PASSED_THROUGH | {"Subquery", "Aggregate", "DistinctOn"}


class IncrementalRule:
    """Looks at the plan of one table; ``schema_of`` gives the columns of a part of it."""

    def __init__(self, table: str, schema_of: Callable[[LogicalPlan], pa.Schema]) -> None:
        self._table = table
        self._schema_of = schema_of
        self._groups = 0
        self._subqueries = 0

    def check(self, plan: LogicalPlan) -> None:
        """Refuse a plan that needs more than the rows of one block, or that makes up block numbers.

        :raises AmpError: NON_INCREMENTAL_QUERY, INVALID_PLAN.
        """
        waiting = [
            (plan, False)
        ]  # a part of the plan, and whether a join stands above it; no recursion: plans are deep
        while waiting:
            part, is_joined = waiting.pop()
            inputs, joins = self._look_at(part)
            if joins and is_joined:
                raise self._not_incremental(_ONE_JOIN)
            waiting += [(each, is_joined or joins) for each in inputs]
        self._check_subqueries(plan)

    def _look_at(self, part: LogicalPlan) -> tuple[list[LogicalPlan], bool]:
        """Check one node; return what it stands on, and whether it joins."""
        node = part.to_variant()
        kind = type(node).__name__
        inputs = part.inputs()
        self._groups += kind in {"Aggregate", "Distinct"}
        if kind == "Join":
            self._check_join(node)
        elif kind == "Aggregate":
            self._check_keys(node.group_by_exprs())
        elif kind == "Distinct":
            self._check_distinct(part)
        elif kind not in _PASSED_THROUGH:
            name = "Window" if kind.startswith("Window") else kind
            raise self._not_incremental(_REFUSED.get(name, f"{name} is not taken"))
        if kind == "Projection":
            self._check_aliases(node.projections())
        if kind == "Union":
            self._check_union(inputs)
        semi_joins = _semi_joins(node.predicate()) if kind == "Filter" else 0
        self._subqueries += semi_joins
        return inputs, kind == "Join" or semi_joins > 0

    def _check_subqueries(self, plan: LogicalPlan) -> None:
        """Refuse subqueries but those that are semi joins, and in these what cannot be joined. DataFusion gives the
        plans of subqueries in its text of a plan only, one node a line. A text in SQL can add lines, but hide none.
        """
        lines = Counter(line.strip().partition(":")[0] for line in plan.display_indent().splitlines())
        if lines["Subquery"] != self._subqueries:
            raise self._not_incremental(
                "a subquery stands only as a condition of its own: WHERE … IN (SELECT …), or WHERE EXISTS (SELECT …); "
                "write a JOIN"
            )
        if not self._subqueries:
            return
        strange = set(lines) - _BESIDE_SUBQUERIES
        if strange or self._subqueries > 1 or lines["Aggregate"] + lines["DistinctOn"] != self._groups:
            raise self._not_incremental(
                "the subquery of a condition only filters tables, and there is one of them, without a join beside it: "
                "make what is more a table of its own (self.TABLE)"
            )

    def _check_join(self, join: Any) -> None:
        kind = str(join.join_type()).rpartition(".")[2]
        if kind not in _JOINS:
            raise self._not_incremental(
                f"a join of the kind {kind} depends on rows that are not there yet: only inner and semi joins are taken"
            )

    def _check_keys(self, keys: list[Expr]) -> None:
        if not keys or not _is_block(keys[0]):
            what = f"a group without its block changes with every block: in GROUP BY {_BLOCK_FIRST}"
            raise self._not_incremental(what)

    def _check_distinct(self, part: LogicalPlan) -> None:
        if not _DISTINCT_ON.match(part.display()):
            what = (
                f"DISTINCT, and UNION without ALL, look at rows of other blocks: DISTINCT ON is taken, {_BLOCK_FIRST}"
            )
            raise self._not_incremental(what)

    def _check_aliases(self, expressions: list[Expr]) -> None:
        for expression in expressions:
            if expression.variant_name() != "Alias":
                continue
            alias = expression.to_variant()
            if alias.alias() == BLOCK_NUM and not _is_block(alias.expr()):
                raise self._made_up()

    def _check_union(self, inputs: list[LogicalPlan]) -> None:
        columns = [[name == BLOCK_NUM for name in self._schema_of(each).names] for each in inputs]
        if any(each != columns[0] for each in columns):
            raise self._made_up()

    def _made_up(self) -> Exception:
        what = (
            f"{BLOCK_NUM} is the block of a row, which every table has: no other value can have this name; use another"
        )
        return error(ErrorCode.INVALID_PLAN, self._table, what)

    def _not_incremental(self, why: str) -> Exception:
        what = f"it cannot follow the chain block by block: {why}"
        return error(ErrorCode.NON_INCREMENTAL_QUERY, self._table, what)


def _is_block(expression: Expr) -> bool:
    kind = expression.variant_name()
    if kind == "Column":
        return bool(expression.to_variant().name() == BLOCK_NUM)
    return kind == "ScalarFunction" and str(expression) == f"Expr({BLOCK_NUM_FUNCTION}())"


def _semi_joins(predicate: Expr) -> int:
    """Count the subqueries of ``predicate`` that only keep rows: what IN and EXISTS look into, joined by AND."""
    found = 0
    waiting = [predicate]
    while waiting:
        expression = waiting.pop()
        kind = expression.variant_name()
        if kind == "BinaryExpr":
            both = expression.to_variant()
            if both.op() == "AND":
                waiting += [both.left(), both.right()]
        elif kind in {"InSubquery", "Exists"}:
            found += not expression.to_variant().negated()
    return found
