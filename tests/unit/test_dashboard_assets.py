"""The files of the dashboard: what they bring along is what it says it is, and nothing in them undoes its policy."""

from __future__ import annotations

import json
import os
import re
import subprocess
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ampd.admin_api.dashboard

ASSETS = Path(ampd.admin_api.dashboard.__file__).parent / "assets"
VENDOR = ASSETS / "vendor"
NODE = Path(__file__).parents[1] / "node"
# Beside what is vendored: licences, and types that are our own.
_BESIDE = {".LICENSE", ".ts"}
OWN = [file for file in sorted(ASSETS.rglob("*")) if file.is_file() and VENDOR not in file.parents]
SCRIPTS = [file for file in OWN if file.suffix == ".js"]
# Not addresses that are called: the name of a language, examples in fields, and what a reader types.
_NAMED = {"www.w3.org", "example.com", "your-node.example"}
_INTO_THE_PAGE = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|createContextualFragment|document\.write|srcdoc"
    r"|eval|new Function|setHTMLUnsafe)\b"
)

# Syntax; names, modules and exports that there are not; constants that are set, and what is used before it is there.
# What TypeScript finds beside that in modules without types is rarely a mistake.
_MISTAKES = re.compile(r"error TS(1\d{3}|230[0-7]|2448|2451|2454|2552|258[48]|2614|2724|18004):")


def relative(file: Path) -> str:
    return file.relative_to(ASSETS).as_posix()


def addresses_in(text: str) -> set[str]:
    return set(re.findall(r"""(?:\w+:)?//([\w-]+(?:\.[\w-]+)+)""", text))


class _Page(HTMLParser):
    """What a page loads, and what it does itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.own: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"}]
        self.own += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.own.append(tag)


def test_all_that_is_vendored_is_listed_with_its_hash() -> None:
    listed = {entry["file"]: entry["sha256"] for entry in json.loads((VENDOR / "vendor.json").read_text("utf-8"))}
    there = {
        file.name: sha256(file.read_bytes()).hexdigest()
        for file in VENDOR.iterdir()
        if file.name != "vendor.json" and file.suffix not in _BESIDE
    }
    assert there == listed


def test_all_that_is_vendored_has_a_name_with_its_version_and_a_licence_beside_it() -> None:
    for entry in json.loads((VENDOR / "vendor.json").read_text("utf-8")):
        assert f"-{entry['version']}." in entry["file"]
        assert (VENDOR / f"{entry['package']}.LICENSE").is_file()


@pytest.mark.parametrize("file", OWN, ids=relative)
def test_a_file_names_no_other_host(file: Path) -> None:
    assert addresses_in(file.read_text("utf-8")) <= _NAMED


def test_another_host_would_be_found() -> None:
    assert addresses_in('import "https://cdn.example.org/x.js"; url(//fonts.example.org/a)') == {
        "cdn.example.org",
        "fonts.example.org",
    }


def test_what_is_vendored_loads_nothing() -> None:
    for file in VENDOR.glob("*.js"):
        assert not re.search(r"\b(fetch|XMLHttpRequest|importScripts|sendBeacon|WebSocket)\b", file.read_text("utf-8"))


def test_the_page_has_no_script_and_no_style_of_its_own_and_loads_files_that_are_there() -> None:
    page = _Page((ASSETS / "index.html").read_text("utf-8"))
    assert page.own == []
    for address in page.loads:
        assert address.startswith("/assets/")
        assert (ASSETS / address.removeprefix("/assets/")).is_file(), address
    assert _Page('<p onclick="a()" style="b"><script>c()</script>').own == ["p onclick", "p style", "script"]


@pytest.mark.parametrize("file", SCRIPTS, ids=relative)
def test_no_text_becomes_markup_or_code(file: Path) -> None:
    found = _INTO_THE_PAGE.findall(file.read_text("utf-8"))
    assert found == []


@pytest.mark.parametrize("file", SCRIPTS, ids=relative)
def test_a_module_stays_short_enough_to_be_read(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) < 350


def test_the_modules_use_only_names_and_exports_that_there_are() -> None:
    compiler = NODE / "node_modules" / ".bin" / "tsc"
    if not compiler.exists() and not os.environ.get("CI"):
        pytest.skip("typescript is not installed: `make .venv/.stamps/node` brings it")
    arguments = [compiler, "--project", NODE / "dashboard.tsconfig.json", "--pretty", "false"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    told = done.stdout.splitlines()
    assert done.stderr == ""
    assert all("error TS" in line or line.startswith(" ") for line in told), done.stdout
    mistakes = [line for line in told if _MISTAKES.search(line)]
    assert not mistakes, "\n".join(mistakes)
