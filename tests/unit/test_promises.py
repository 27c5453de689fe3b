"""tests/promises.toml leads from each promise of the documents to tests that exist, and leaves no test of them out."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMISES: dict[str, Any] = tomllib.loads((ROOT / "tests" / "promises.toml").read_text(encoding="utf-8"))
DOCUMENTS = ["job-management", "job-progress-api", "worker-management", "ampd-worker", "scheduled-job-management"]


def proven() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every promise, fault and trap, with a name for people."""
    for section in PROMISES["section"]:
        for promise in section["promise"]:
            yield f"{section['document']}: {promise['sentence']}", promise
    for fault in PROMISES.get("fault", ()):
        yield f"fault {fault['number']}: {fault['title']}", fault
    for trap in PROMISES["trap"]:
        yield f"trap in {trap['place']}: {trap['title']}", trap


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the tests of a file, those of classes as ``class::test``; none when there is no such file."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    found = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found += [f"{node.name}::{inner.name}" for inner in node.body if _is_test(inner)]
        elif _is_test(node):
            found.append(node.name)  # type: ignore[attr-defined]
    return frozenset(found)


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")


def exists(test: str) -> bool:
    path, _, name = test.partition("::")
    return name in names_in(path)


def test_every_test_that_a_promise_names_exists() -> None:
    assert [(name, test) for name, entry in proven() for test in entry["tests"] if not exists(test)] == []


def test_every_promise_has_a_test_and_names_none_twice() -> None:
    for name, entry in proven():
        assert entry["tests"], f"nothing proves it: {name}"
        assert max(Counter(entry["tests"]).values()) == 1, name


def test_every_test_of_promises_is_named_by_a_promise() -> None:
    named = {test for _, entry in proven() for test in entry["tests"]}
    files = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("tests/*/test_promises_*.py"))]
    written = {f"{path}::{test}" for path in files for test in names_in(path)}
    assert len(written) > 50
    assert written - named == set()


def test_every_document_is_there_and_no_section_or_sentence_twice() -> None:
    sections = [(section["document"], section["heading"]) for section in PROMISES["section"]]
    assert list(dict.fromkeys(document for document, _ in sections)) == DOCUMENTS
    assert max(Counter(sections).values()) == 1
    for section in PROMISES["section"]:
        assert max(Counter(promise["sentence"] for promise in section["promise"]).values()) == 1, section["heading"]


def test_entries_have_no_other_keys_than_those_that_are_read() -> None:
    assert set(PROMISES) <= {"section", "later", "fault", "trap"}
    for section in PROMISES["section"]:
        assert set(section) == {"document", "heading", "promise"}
        assert all(
            {"sentence", "tests"} <= set(promise) <= {"sentence", "tests", "note"} for promise in section["promise"]
        )
    for entry in PROMISES.get("later", ()):
        assert set(entry) == {"document", "heading", "sentence", "note"}
    for fault in PROMISES.get("fault", ()):
        assert set(fault) == {"number", "title", "tests"}
    for trap in PROMISES["trap"]:
        assert set(trap) == {"place", "title", "tests"}


def test_faults_are_counted_from_one() -> None:
    numbers = [fault["number"] for fault in PROMISES.get("fault", ())]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    "test",
    [
        "tests/unit/test_promises.py::test_that_nobody_wrote",
        "tests/unit/test_promises.py::TestNothing::test_every_test_that_a_promise_names_exists",
        "tests/unit/test_promises.py::exists",
        "tests/unit/test_missing.py::test_every_test_that_a_promise_names_exists",
        "tests/unit/test_promises.py",
    ],
)
def test_a_test_that_does_not_exist_would_be_found(test: str) -> None:
    assert exists("tests/unit/test_promises.py::test_every_test_that_a_promise_names_exists")
    assert not exists(test)
