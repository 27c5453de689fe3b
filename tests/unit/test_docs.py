"""The documents say what is true: generated pages are fresh, commands exist, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from ampd.cli.ampctl import app as ampctl
from ampd.cli.ampd import app as ampd
from ampd.cli.ampd import config_behind_command

ROOT = Path(__file__).resolve().parents[2]
GENERATOR = ROOT / "docs" / "generate.py"
GUIDES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("docs/how-to/*.md")),
]
PAGES = [*GUIDES, ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*/*.md"))]
PROGRAMS = ("make", "ampd", "ampctl")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)})(?: [^`]+)?)`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
# What belongs to no document or program of ours.
_NOT_OURS = {"node_modules", "__pycache__", "data", "dist"}
_OPERATORS = {"|", "||", "&&", ";", "&"}


def shown_commands(text: str) -> Iterator[list[str]]:
    """Give the commands of ours in the console blocks of a page, as words."""
    for kind, body in _FENCE.findall(text):
        if kind not in {"console", "bash", "sh"}:
            continue
        for line in body.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield from _commands_of(line[2:])


def _commands_of(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _OPERATORS:
            words.append(word)
            continue
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables before a command
            words.pop(0)
        if words and words[0] in PROGRAMS:
            yield words
        words = []


def mentioned_commands(text: str) -> Iterator[list[str]]:
    """Give the commands of ours that stand in the sentences of a page, as words."""
    for command in _INLINE.findall(_FENCE.sub("", text)):
        yield shlex.split(" ".join(command.split()))


def fault_of(words: list[str], *, whole: bool) -> str | None:
    """Say what is wrong with a command; ``whole``: all that it needs must be there."""
    program, *arguments = words
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        unknown = [word for word in arguments if "=" not in word and word not in targets]
        return f"no such target: {unknown}" if unknown else None
    app = ampctl
    if program == "ampd":
        app, arguments = ampd, config_behind_command(arguments)
    # Words in capitals stand for what a reader puts there.
    arguments = ["1" if re.fullmatch(r"N|M", word) else word for word in arguments]
    try:
        app.parse_args(arguments, exit_on_error=False, print_error=False)
    except MissingArgumentError as error:
        return str(error) if whole else None
    except CycloptsError as error:
        return str(error)
    return None


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def run_generator(generator: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMP_")}
    command = [sys.executable, str(generator), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_the_generated_pages_are_what_the_code_says() -> None:
    done = run_generator(GENERATOR, "--check")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run `make docs`"


@pytest.mark.long
def test_the_check_names_a_page_that_was_edited_by_hand_and_writing_mends_it(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    for source in (*ROOT.glob("docs/*.*"), *ROOT.glob("docs/reference/*.md"), ROOT / "tests" / "promises.toml"):
        target = tmp_path / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    page = docs / "reference" / "errors.md"
    whole = page.read_text(encoding="utf-8")
    page.write_text(whole.replace("LEASE_LOST", "LEASE_GONE"), encoding="utf-8")

    done = run_generator(docs / "generate.py", "--check")
    assert (done.returncode, done.stdout) == (1, "stale: docs/reference/errors.md\n")
    assert run_generator(docs / "generate.py").returncode == 0
    assert page.read_text(encoding="utf-8") == whole
    assert run_generator(docs / "generate.py", "--check").returncode == 0


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_every_command_that_is_shown_can_be_typed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = [(words, fault_of(words, whole=True)) for words in shown_commands(text)]
    mentioned = [(words, fault_of(words, whole=False)) for words in mentioned_commands(text)]
    assert [(" ".join(words), fault) for words, fault in (*shown, *mentioned) if fault] == []


def test_the_guides_show_commands_at_all() -> None:
    found = [words for page in GUIDES for words in shown_commands(page.read_text(encoding="utf-8"))]
    assert {words[0] for words in found} == set(PROGRAMS)
    assert len(found) > 40


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("make nothing", "no such target"),
        ("ampd fly", "fly"),
        ("ampd worker --node-id a --fast", "--fast"),
        ("ampctl job stop", "requires an argument"),
        ("ampctl job stop first", "first"),
        ("ampctl job list --state all", "--state"),
    ],
)
def test_a_command_that_cannot_be_typed_would_be_found(command: str, said: str) -> None:
    (words,) = shown_commands(f"```console\n$ AMP_LOG=debug {command} | jq .  # a word\n```\n")
    fault = fault_of(words, whole=True)
    assert fault is not None
    assert said in fault


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_log_line_that_operations_names_is_written_somewhere() -> None:
    table = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("| event |")[2]
    events = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", table, re.MULTILINE)
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert len(events) > 5
    assert [event for event in events if f'"{event}"' not in source] == []


def anchors(page: Path) -> set[str]:
    """Return what links can name in a page: its headings in lower case, words joined by hyphens."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def our_texts() -> Iterator[tuple[Path, str]]:
    """Give the text files of the repository; recorded data are not ours to change."""
    for folder, folders, files in os.walk(ROOT):
        hidden = {name for name in folders if name.startswith(".") and name != ".ci"}
        folders[:] = sorted(set(folders) - hidden - _NOT_OURS)
        for name in files:
            path = Path(folder, name)
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


# Put together here, or this file would hold what it forbids.
REGISTRIES = re.compile("|".join(re.escape(f"{name}.{end}") for name, end in (
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io")
)))  # fmt: skip
MACHINE_PATHS = re.compile(r"(?<![\w.~$}/-])/(?:work|home/\w+|root|Users/\w+)/")


def lines_with(pattern: re.Pattern[str], texts: Callable[[], Any] = our_texts) -> list[str]:
    return [
        f"{path.relative_to(ROOT).as_posix()}:{number}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert lines_with(REGISTRIES) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert lines_with(MACHINE_PATHS) == []


def test_hosts_and_paths_would_be_found() -> None:
    for forbidden in ("registry." + "npmjs" + ".org/x", "files." + "pythonhosted" + ".org"):
        assert REGISTRIES.search(forbidden)
    for forbidden in ("see /" + "work/main", "'/" + "home/me/lake'", "/" + "root/x"):
        assert MACHINE_PATHS.search(forbidden)
    assert not MACHINE_PATHS.search("a path such as docs/work/x")
