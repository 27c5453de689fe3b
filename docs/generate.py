"""Writes the pages of this directory that follow from the code, so that they cannot fall behind it.

``python docs/generate.py`` writes them; ``python docs/generate.py --check`` writes nothing, names the pages that are
not what the code says, and exits 1 when there are any. What the code does not say in words stands in meanings.toml.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from cyclopts import App
from pydantic import BaseModel
from python_client_page import client_page

from ampd import config, errors
from ampd.admin_api.errors import INTERNAL_STATUS, STATUS_OF
from ampd.chain import tables
from ampd.cli.ampctl import app as ampctl
from ampd.cli.ampd import app as ampd
from ampd.datasets.provider_config import CONFIG_OF_KIND
from ampd.errors import ErrorCode
from ampd.jobs.states import ACTIVE_STATES, TERMINAL_STATES, TRANSITIONS, JobState, Transition
from ampd.telemetry import cluster_metrics, event_metrics, extraction_metrics, job_metrics, node_metrics
from ampd.telemetry.logs import LEVELS
from ampd.telemetry.metrics import DECLARED, Declared

DOCS: Final = Path(__file__).resolve().parent
NOTE: Final = "<!-- Written by docs/generate.py from the code. Do not edit: run `make docs`. -->\n"
SECTION: Final = re.compile(r"(<!-- begin: states[^\n]*-->\n).*?(<!-- end: states -->)", re.DOTALL)
MEANINGS: Final = tomllib.loads((DOCS / "meanings.toml").read_text(encoding="utf-8"))
METRICS: Final = {
    "Jobs, workers and the Admin API": job_metrics,
    "Extraction": extraction_metrics,
    "Nodes and Firehose servers": node_metrics,
    "Worker events": event_metrics,
    "The cluster": cluster_metrics,
}
PROMISES: Final = DOCS.parent / "tests" / "promises.toml"


def main() -> int:
    """Write the pages, or check them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is stale")
    check = parser.parse_args().check
    stale = [path for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        sys.stdout.write(f"{'stale' if check else 'written'}: {path.relative_to(DOCS.parent).as_posix()}\n")
    if check:
        return 1 if stale else 0
    for path, text in pages():
        path.write_text(text, encoding="utf-8")
    return 0


def pages() -> Iterator[tuple[Path, str]]:
    """Give every generated page with the text that it should have."""
    written: dict[str, Callable[[], str]] = {
        "tables": tables_page,
        "cli": cli_page,
        "configuration": configuration_page,
        "errors": errors_page,
        "promises": promises_page,
        "metrics": metrics_page,
        "python-client": lambda: client_page(table, NOTE),
    }
    for name, page in written.items():
        yield DOCS / "reference" / f"{name}.md", page()
    architecture = DOCS / "architecture.md"
    yield architecture, with_states(architecture.read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def code(text: object) -> str:
    """Return ``text`` as code."""
    return f"`{text}`"


def meanings(section: str, names: Iterable[str]) -> Mapping[str, str]:
    """Return what meanings.toml says of ``names``.

    :raises SystemExit: when an entry is missing, or stands for nothing.
    """
    wanted, there = set(names), MEANINGS[section]
    if wanted != set(there):
        differing = ", ".join(sorted(wanted ^ set(there)))
        raise SystemExit(f"docs/meanings.toml: section [{section}] lacks these names or has them in vain: {differing}")
    found: Mapping[str, str] = there
    return found


# Tables


def tables_page() -> str:
    """Return the page of the lake's tables."""
    said = inspect.cleandoc(tables.__doc__ or "").partition("Conventions:")[2].strip()
    conventions = re.sub(r"``(.+?)``", r"`\1`", said)
    about = meanings("tables", tables.FIREHOSE_TABLES)
    text = f"# Tables\n\n{NOTE}\nThe columns of an EVM dataset. A manifest may take some of the tables only.\n\n"
    text += f"Rules that hold everywhere:\n\n{conventions}\n"
    used: set[tuple[str, str]] = set()
    for name, schema in tables.FIREHOSE_TABLES.items():
        order = ", ".join(map(code, tables.SORT_COLUMNS[name]))
        text += f"\n## {name}\n\n{about[name]} Rows of a file ascend by {order}.\n\n"
        text += table(("column", "Arrow type", "null", "meaning"), _columns(name, schema, used))
    _refuse_unused(used)
    return text


def _columns(name: str, schema: pa.Schema, used: set[tuple[str, str]]) -> Iterator[Sequence[str]]:
    for field in schema:
        null = "yes" if field.nullable else "no"
        yield code(field.name), code(field.type), null, _column_meaning(name, field.name, used)


def _column_meaning(table_name: str, column: str, used: set[tuple[str, str]]) -> str:
    said = MEANINGS["columns"]
    for section in (table_name, "any"):
        if column in said[section]:
            used.add((section, column))
            return str(said[section][column])
    exact = column.removesuffix("_raw")
    if exact != column and exact in said[table_name]:
        return f"`{exact}` when it does not fit there."
    raise SystemExit(f"docs/meanings.toml: nothing is said of column {column} of table {table_name}")


def _refuse_unused(used: set[tuple[str, str]]) -> None:
    there = {(section, column) for section, columns in MEANINGS["columns"].items() for column in columns}
    if there != used:
        raise SystemExit(f"docs/meanings.toml: there are no such columns: {sorted(there - used)}")


# Commands


def cli_page() -> str:
    """Return the page of the commands."""
    exits = table(
        ("exit code", "`ampd`", "`ampctl`"),
        (
            ("0", "ended as asked", "done"),
            ("1", "ended by an error", "failed; with `job progress --watch`: the job failed"),
            ("2", "used wrongly", "used wrongly"),
            ("130", "interrupted", "interrupted"),
            ("141", "", "the reader of its output is gone"),
        ),
    )
    text = f"# Commands\n\n{NOTE}\n`ampd` runs the processes, `ampctl` operates them over the Admin API.\n\n{exits}\n"
    text += (
        "Errors go to stderr. `inspect` and `get` print JSON whenever their output is not a terminal; every command "
        "of `ampctl` that talks to the Admin API prints it with `--json`.\n"
    )
    return text + "".join(f"\n{_help_of(app)}\n" for app in (ampd, ampctl))


def _help_of(app: App) -> str:
    # A page of its own needs no second table of contents, and one program's name as its heading.
    return re.sub(r"## Table of Contents\n.*?(?=\*\*Commands)", "", app.generate_docs(heading_level=2), flags=re.DOTALL)


# Configuration


def configuration_page() -> str:
    """Return the page of settings."""
    text = f"# Configuration\n\n{NOTE}\n" + inspect.cleandoc(
        f"""
        All processes read one TOML file, named by `--config` or `{config.ENV_CONFIG_FILE}`; `ampd solo` reads
        `config.toml` in its folder. An environment variable is stronger than the file, the file is stronger than a
        default. The variable of a key is `{config.ENV_PREFIX}` and the key in capitals, with `__` for the dot. An
        unknown key is an error that names the one that was meant.
        """
    )
    text += "\n\n## Keys\n\n" + table(("key", "type", "default", "meaning", "environment"), _config_rows())
    text += f"\nCodecs: {', '.join(map(code, config.CODECS))}; "
    text += ", ".join(f"`{codec}({low})` to `{codec}({high})`" for codec, (low, high) in config.CODEC_LEVELS.items())
    text += " choose a level.\n\n## Provider files\n\n"
    text += (
        "One TOML file per provider, `<name>.toml` in `providers_dir`; `ampctl provider register` writes it. "
        "`${VARIABLE}` in a text is replaced by the environment of the process that uses the provider.\n\n"
    )
    for kind in CONFIG_OF_KIND:
        text += f"Of kind `{kind}`:\n\n" + table(("key", "type", "default", "meaning"), _provider_rows(kind)) + "\n"
    text = text.removesuffix("\n")
    text += "\n## Other environment variables\n\n" + table(("variable", "meaning"), _environment_rows())
    text += "\n## Names of the reference system\n\nOld names that still work: "
    text += ", ".join(f"`{old}` for `{'.'.join(new)}`" for old, new in config.OLD_NAMES.items())
    text += ".\n\nKeys that are taken and have no effect (the log names those that were given): "
    return text + ", ".join(map(code, config.IGNORED_KEYS)) + ".\n"


def _config_rows() -> Iterator[Sequence[str]]:
    schema = config.Config.model_json_schema()
    about = meanings("config", (".".join(key) for key in config.KEYS))
    for key in config.KEYS:
        node = schema
        for part in key:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
            node = node["properties"][part]
        dotted = ".".join(key)
        default = f"`{config.DIRECTORIES[dotted]}` beside the file" if dotted in config.DIRECTORIES else _default(node)
        yield code(dotted), _type(node), default, about[dotted], code(config.ENV_PREFIX + "__".join(key).upper())


def _provider_rows(kind: str) -> Iterator[Sequence[str]]:
    properties = _properties(CONFIG_OF_KIND[kind])
    about = meanings(f"provider-{kind}", properties)
    required = CONFIG_OF_KIND[kind].model_json_schema()["required"]
    for name, node in properties.items():
        yield code(name), _type(node), "required" if name in required else _default(node), about[name]


def _properties(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    return found


def _type(node: Mapping[str, Any]) -> str:
    kinds = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}
    kinds |= {"object": "table", "array": "list"}
    choices = [choice for choice in node.get("anyOf", [node]) if choice["type"] != "null"]
    words = kinds[choices[0]["type"]]
    limits = {"exclusiveMinimum": "above", "gt": "above", "minimum": "from", "maximum": "to"}
    return " ".join([words, *(f"{word} {choices[0][key]:g}" for key, word in limits.items() if key in choices[0])])


def _default(node: Mapping[str, Any]) -> str:
    value = node["default"]
    return "none" if value is None else code(value if isinstance(value, str) else json.dumps(value))


def _environment_rows() -> Iterator[Sequence[str]]:
    names = {name for app in (ampd, ampctl) for name in _variables(app)}
    about = meanings("environment", names)
    yield from ((code(name), about[name]) for name in sorted(names))
    levels = ", ".join(f"`{level}`{' (default)' if level == 'info' else ''}" for level in LEVELS)
    yield code("AMP_LOG"), f"How much is logged: {levels}."


def _variables(app: App) -> Iterator[str]:
    for name, command in app.resolved_commands().items():
        if name.startswith("-"):
            continue
        if command.default_command is None:
            yield from _variables(command)
            continue
        for argument in command.assemble_argument_collection():
            yield from argument.parameter.env_var or ()


# Errors


def errors_page() -> str:
    """Return the page of the error codes."""
    about = meanings("errors", ErrorCode)
    text = f"# Errors\n\n{NOTE}\n" + inspect.cleandoc(
        f"""
        Every error has a code and a message. The Admin API answers `{{"error_code": …, "error_message": …}}`; a job
        keeps the error that ended its last try as `last_error`. Codes without an HTTP status come from processes,
        commands and jobs; should the Admin API answer one, its status is {INTERNAL_STATUS}.
        """
    )
    for group, codes in _groups():
        rows = ((code(found), str(STATUS_OF.get(found, "")), about[found]) for found in codes)
        text += f"\n\n## {group}\n\n" + table(("code", "HTTP", "meaning"), rows).rstrip()
    return text + "\n"


def _groups() -> Iterator[tuple[str, list[ErrorCode]]]:
    """Give the codes by the comments that head them in ampd.errors."""
    source = inspect.getsource(errors.ErrorCode)
    _head, *parts = re.split(r"^    # (.+)$", source, flags=re.MULTILINE)
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        yield title, [ErrorCode[name] for name in re.findall(r"^    ([A-Z_]+) = ", body, flags=re.MULTILINE)]


# Metrics


def metrics_page() -> str:
    """Return the page of the metrics."""
    text = f"# Metrics\n\n{NOTE}\n" + inspect.cleandoc(
        """
        What workers and controllers tell Prometheus; [how to scrape them](../how-to/monitoring.md). A histogram `x`
        has the samples `x_bucket`, `x_sum` and `x_count`. Every process also tells `process_cpu_seconds_total`,
        `process_resident_memory_bytes`, `process_start_time_seconds`, `process_open_fds` and the like of itself. A
        counter whose labels nobody has seen yet has no sample.
        """
    )
    for title, module in METRICS.items():
        said = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(module.__doc__ or ""))
        mine = set(re.findall(r'"([a-z_]+)"', inspect.getsource(module)))
        rows = (_metric_row(each) for each in DECLARED if each.name in mine)
        text += f"\n\n## {title}\n\n{said}\n\n"
        text += table(("metric", "kind", "labels", "meaning"), rows).rstrip()
    return text + "\n"


def _metric_row(each: Declared) -> Sequence[str]:
    return code(each.name), each.kind, ", ".join(map(code, each.labels)), each.meaning


# Promises and the tests that prove them


def promises_page() -> str:
    """Return the page that leads from each sentence of the wanted documents to its tests."""
    promises = tomllib.loads(PROMISES.read_text(encoding="utf-8"))
    text = f"# Promises and their tests\n\n{NOTE}\n" + inspect.cleandoc(
        """
        What the documents that `ampd` was made after say of jobs, timetables, progress and workers, and the tests that
        prove it.
        The sentences stand in `tests/promises.toml`; a test looks that every test named there exists.
        """
    )
    for document in dict.fromkeys(section["document"] for section in promises["section"]):
        text += f"\n\n## {document}\n\n" + table(("section", "promise", "tests"), _promise_rows(promises, document))
        text = text.rstrip()
    later = [(each["document"], _shown(each["sentence"]), each["note"]) for each in promises.get("later", ())]
    if later:
        text += "\n\n## Not yet\n\n" + table(("document", "promise", "what is there"), later).rstrip()
    faults = [(str(each["number"]), each["title"], _test_links(each["tests"])) for each in promises.get("fault", ())]
    if faults:
        text += "\n\n## Faults of the reference system that ampd does not have\n\n"
        text += table(("number", "fault", "tests"), faults).rstrip()
    traps = [(each["place"], each["title"], _test_links(each["tests"])) for each in promises["trap"]]
    text += "\n\n## Traps of its Admin API and its command line\n\n"
    text += table(("section of the notes", "trap", "tests"), traps).rstrip()
    return text + "\n"


def _promise_rows(promises: Mapping[str, Any], document: str) -> Iterator[Sequence[str]]:
    for section in promises["section"]:
        if section["document"] != document:
            continue
        heading = section["heading"]
        for promise in section["promise"]:
            note = f"<br>Note: {promise['note']}" if "note" in promise else ""
            yield heading, _shown(promise["sentence"]) + note, _test_links(promise["tests"])
            heading = ""  # the first row of a section names it


def _shown(sentence: str) -> str:
    """Return a sentence as text, a command as code, line by line."""
    if re.match(r"#|//|ampctl|curl|await|if \(|interface|(\w+\?: )", sentence):
        return "<br>".join(code(line.strip()) for line in sentence.splitlines())
    return re.sub(r"([\\*\[\]<])", r"\\\1", sentence)


def _test_links(tests: Iterable[str]) -> str:
    """Return links to the files of tests, which are given as ``path::name`` or ``path::class::name``."""
    parts = (test.partition("::") for test in tests)
    return "<br>".join(f"[{code(name)}](../../{path})" for path, _, name in parts)


# The states of a job


def with_states(text: str) -> str:
    """Return the architecture page ``text`` with its part on the states of a job as the code has them."""
    if not SECTION.search(text):
        raise SystemExit("docs/architecture.md has lost the marks around its part on the states of a job")
    return SECTION.sub(lambda found: found[1] + states_text() + found[2], text)


def states_text() -> str:
    """Return the diagram and the tables of states and transitions."""
    about_state, about_transition = meanings("states", JobState), meanings("transitions", Transition)
    # What only changes what a stop is for stays in its state, and is told by the table of transitions.
    edges: dict[tuple[JobState, JobState], dict[str, None]] = {}
    for (source, transition), target in TRANSITIONS.items():
        if source.state is not target.state:
            edges.setdefault((source.state, target.state), {})[transition] = None
    arrows = "".join(f"    {source} --> {target}: {', '.join(names)}\n" for (source, target), names in edges.items())
    diagram = f"```mermaid\nstateDiagram-v2\n    [*] --> {JobState.SCHEDULED}: {Transition.DEPLOY}\n{arrows}```\n"
    assert ACTIVE_STATES.isdisjoint(TERMINAL_STATES)  # noqa: S101 - the table below says one of the two
    states = ((code(s), "yes" if s in TERMINAL_STATES else "no", about_state[s]) for s in JobState)
    names = ((code(t), about_transition[t]) for t in Transition)
    head = ("state", "has ended", "meaning")
    return f"\n{diagram}\n{table(head, states)}\n{table(('transition', 'when'), names)}\n"


if __name__ == "__main__":
    sys.exit(main())
