"""tests/seed_commands.toml has every command line of the wanted documents, and a test runs each in a real shell."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS: dict[str, list[str]] = tomllib.loads((ROOT / "tests" / "seed_commands.toml").read_text(encoding="utf-8"))
# The tests that run what they say by `Operator.sh` or `Operator.on_terminal`.
FILES = {
    "job-management": "tests/e2e/test_seed_job_commands.py",
    "job-progress-api": "tests/e2e/test_seed_job_commands.py",
    "worker-management": "tests/e2e/test_seed_worker_commands.py",
}
HERE = "\0"


def texts_in(path: str) -> Iterator[str]:
    """Give every text in a file of tests; where a test puts something in (an id) stands ``HERE``."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else HERE for each in node.values)


def is_run_by(text: str, command: str) -> bool:
    """Tell whether ``text`` is ``command``, or a script with its lines."""
    if f"\n{command}\n" in f"\n{text}\n":
        return True
    return HERE in text and re.fullmatch(re.escape(text).replace(HERE, r"[^\s/]+"), command) is not None


def runs(path: str, command: str) -> bool:
    return any(is_run_by(text, command) for text in texts_in(path))


def test_the_documents_with_commands_are_these() -> None:
    assert set(COMMANDS) == set(FILES)
    assert {document: len(set(commands)) for document, commands in COMMANDS.items()} == {
        document: len(commands) for document, commands in COMMANDS.items()
    }


@pytest.mark.parametrize("document", FILES)
def test_every_command_jq_line_loop_and_watch_of_a_document_is_run_as_it_is_printed(document: str) -> None:
    path = FILES[document]
    assert [command for command in COMMANDS[document] if not runs(path, command)] == []


def test_a_command_that_nobody_runs_would_be_found() -> None:
    path = FILES["job-management"]
    assert runs(path, "ampctl job prune")
    assert not runs(path, "ampctl job prune --status sleeping")
    assert not runs(path, "ampctl job inspect 1 | jq '.state'")
