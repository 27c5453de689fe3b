"""The files in examples/monitoring, and what they ask Prometheus for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

DIRECTORY = Path(__file__).resolve().parents[2] / "examples" / "monitoring"
DASHBOARD = DIRECTORY / "grafana-dashboard.json"
ALERTS = DIRECTORY / "alerts.yml"
_VARIABLES = {"$__rate_interval": "5m", "$namespace": "n", "$dataset": "d", "$job": "j"}
_LABEL_VALUES = re.compile(r"label_values\((?P<expression>.+), (?P<label>\w+)\)")


@dataclass(frozen=True)
class Query:
    """A query and where it stands; ``labels`` are those that it uses beside its matchers."""

    where: str
    text: str
    labels: tuple[str, ...] = ()


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[Query]:
    """Return every query of the dashboard and the alerts, with values in the place of Grafana's variables."""
    return [*_of_panels(), *_of_variables(), *(Query(rule["alert"], rule["expr"]) for rule in rules())]


def _of_panels() -> Iterator[Query]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            labels = tuple(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            yield Query(panel["title"], _with_values(target["expr"]), labels)


def _of_variables() -> Iterator[Query]:
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert found is not None, variable["query"]
            yield Query(variable["name"], _with_values(found["expression"]), (found["label"],))


def _with_values(text: str) -> str:
    for name, value in _VARIABLES.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """Give the selectors of metrics in a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    inside = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector", "args")]
    for each in inside:
        for child in each if isinstance(each, list) else [each]:
            if child is not None and not isinstance(child, (str, int, float)):
                yield from selectors(child)


def groupings(node: Any) -> Iterator[str]:
    """Give the labels that the aggregations of a parsed query keep."""
    modifier = getattr(node, "modifier", None)
    if isinstance(node, promql_parser.AggregateExpr) and modifier is not None:
        yield from modifier.labels
    for name in ("lhs", "rhs", "expr", "vector_selector", "args"):
        each = getattr(node, name, None)
        for child in each if isinstance(each, list) else [each]:
            if child is not None and not isinstance(child, (str, int, float)):
                yield from groupings(child)
