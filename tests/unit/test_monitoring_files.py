"""The dashboard and the alerts of examples/monitoring fit their readers and ask for what ampd tells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from ampd.telemetry import cluster_metrics, event_metrics, extraction_metrics, job_metrics, metrics, node_metrics
from ampd.telemetry.metrics import DECLARED
from support import monitoring
from support.monitoring import Query, dashboard, groupings, queries, rules, selectors

# All that declare metrics.
MODULES = (cluster_metrics, event_metrics, extraction_metrics, job_metrics, node_metrics)
OF_THE_LIBRARY = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
TELEMETRY = Path(metrics.__file__).parent
OF_PROMETHEUS = {"job", "instance", "le"}
QUERIES = queries()


def declared_labels(name: str) -> set[str]:
    """Return the labels that a metric may have; the name may be that of a histogram's samples."""
    if name in OF_THE_LIBRARY:
        return OF_PROMETHEUS
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    found = [each for each in DECLARED if each.name == (stem if each.kind == "histogram" else name)]
    assert len(found) == 1, f"nothing declares {name}"
    return {*found[0].labels, *OF_PROMETHEUS}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_a_query_is_promql_over_metrics_and_labels_that_there_are(query: Query) -> None:
    parsed = promql_parser.parse(query.text)
    used = list(selectors(parsed))
    assert used
    for selector in used:
        known = declared_labels(selector.name)
        assert {matcher.name for matcher in selector.matchers.matchers} <= known, query.text
    all_known = set().union(*(declared_labels(selector.name) for selector in used))
    assert {*groupings(parsed), *query.labels} <= all_known, query.text


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_figures_of_the_cluster_are_never_added_over_controllers(query: Query) -> None:
    assert not re.search(r"\b(sum|count|avg)\b[^(]*\((rate\(|increase\()?ampd_cluster_", query.text)


def test_a_wrong_query_would_be_found() -> None:
    for text in ("sum(", "rate(ampd_commits_total[)"):
        with pytest.raises(ValueError, match=r".+"):
            promql_parser.parse(text)
    with pytest.raises(AssertionError):
        declared_labels("ampd_no_such_total")
    (found,) = selectors(promql_parser.parse("sum by (stage) (rate(ampd_stage_seconds_bucket[5m])) > 2"))
    assert found.name == "ampd_stage_seconds_bucket"


def test_grafana_reads_all_of_the_dashboard() -> None:
    ours = dashboard()
    read = json.loads(json.dumps(Dashboard.from_json(ours), cls=JSONEncoder))
    assert lost(ours, read) == []


def lost(given: Any, read: Any, where: str = "") -> list[str]:
    """Return the places of what the model has not kept: a key that it does not know, or a value of another kind."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [found for key, value in given.items() for found in lost(value, read.get(key), f"{where}.{key}")]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        return [found for at, value in enumerate(given) for found in lost(value, read[at], f"{where}[{at}]")]
    return [] if given == read else [where]


def test_what_grafana_does_not_know_would_be_found() -> None:
    wrong = {**dashboard(), "titel": "ampd"}
    read = json.loads(json.dumps(Dashboard.from_json(wrong), cls=JSONEncoder))
    assert lost(wrong, read) == [".titel"]


def test_panels_have_names_of_their_own_meanings_and_places_that_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["description"] and panel["targets"] for panel in shown)
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) == 23


def test_each_alert_has_a_name_of_its_own_a_severity_and_says_what_to_do() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) > 10
    for rule in found:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]


def test_labels_are_bounded_by_what_an_operator_has_registered() -> None:
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == {
        path.stem for path in TELEMETRY.glob("*_metrics.py")
    }
    labels = {label for each in DECLARED for label in each.labels}
    assert labels == {
        *(
            "dataset_namespace",
            "dataset_name",
            "manifest",
            "table",
            "kind",
            "state",
            "status",
            "waiting_for",
            "outcome",
        ),
        *("error_code", "endpoint", "network", "method", "route", "stage"),
    }


def test_metrics_are_named_as_prometheus_wants_it() -> None:
    for each in DECLARED:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", each.name)
        assert each.name.endswith("_total") == (each.kind == "counter"), each.name
        assert each.meaning.endswith("."), each.name


def test_the_files_are_where_the_guide_says() -> None:
    guide = (monitoring.DIRECTORY.parents[1] / "docs" / "how-to" / "monitoring.md").read_text(encoding="utf-8")
    for file in (monitoring.DASHBOARD, monitoring.ALERTS):
        assert f"examples/monitoring/{file.name}" in guide
