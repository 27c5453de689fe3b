"""Every command of ampctl against a live controller: what it prints, for people and as JSON, and how it ends.

The commands are those of ampctl_commands.py; none of ampctl can be missing there.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import httpx
import pytest
from ampctl_commands import CONTENT_WITH_NOTHING, NOWHERE, STORIES, Reference, reference_commands
from ampctl_steps import Step
from cyclopts import App

from ampd.chain.tables import TABLES
from ampd.cli.ampctl import app
from support.ampctl import run
from support.daemons import Cluster, free_port, wait_for
from support.deploy import deploy, register_dataset
from support.nodes import FIRST_BLOCK, LAST_BLOCK
from support.promises import cluster_in
from support.shell import TIMESTAMP, assert_has_shape

SETTINGS = '[worker]\nslots = 8\n[webhooks]\nallowed_networks = ["127.0.0.0/8"]\n'
STORY_NAMES = list(STORIES)
# A secret of the provider: it must never be shown.
SECRET = "hunter2"
COMMON = {"--admin-url", "--auth-token", "--json"}


# What ampctl has


@dataclass(frozen=True)
class Command:
    """A command of ampctl: all ways to call it, the first one its name, and its flags."""

    calls: tuple[str, ...]
    flags: frozenset[str]


def commands(parent: App = app, prefix: str = "") -> Iterator[tuple[str, App]]:
    """Give every way to call a command of ampctl, and the command."""
    for name in parent:
        if not name.startswith("-"):
            child = parent[name]
            if any(not each.startswith("-") for each in child):
                yield from commands(child, f"{prefix}{name} ")
            else:
                yield f"{prefix}{name}", child


def all_commands() -> list[Command]:
    calls: dict[int, list[str]] = {}
    found = list(commands())
    for call, command in found:
        calls.setdefault(id(command.default_command), []).append(call)
    parsed = {id(command.default_command): command for _, command in found}
    return [Command(tuple(calls[key]), _flags(parsed[key])) for key in calls]


def _flags(command: App) -> frozenset[str]:
    arguments = command.assemble_argument_collection()
    return frozenset(name for each in arguments for name in each.names if name.startswith("-"))


COMMANDS = all_commands()
BY_CALL = {call: command for command in COMMANDS for call in command.calls}
STEPS = [step for steps in STORIES.values() for step in steps]


def call_of(line: str) -> str:
    """Return the command that a line calls, as it is typed there."""
    words = line.split()
    return next(call for call in (" ".join(words[:2]), words[0]) if call in BY_CALL)


def test_every_way_to_call_every_command_and_all_of_its_flags_are_in_the_table() -> None:
    missing = []
    for command in COMMANDS:
        lines = [step.line for step in STEPS if BY_CALL[call_of(step.line)] is command]
        words = {word.partition("=")[0] for line in lines for word in line.split()}
        missing += [f"{command.calls[0]} {flag}" for flag in sorted(command.flags - words - COMMON)]
        verbs = {call.split()[-1] for call in command.calls}
        missing += [
            f"{command.calls[0]}: {verb}" for verb in sorted(verbs - {call_of(line).split()[-1] for line in lines})
        ]
    nouns = {line.line.split()[0] for line in STEPS}
    missing += sorted({call.split()[0] for call in BY_CALL} - nouns)
    assert missing == []


def test_every_command_is_in_the_table_for_people_and_with_json_when_it_has_it() -> None:
    for command in COMMANDS:
        steps = [step for step in STEPS if BY_CALL[call_of(step.line)] is command and step.code == 0]
        assert any(step.text is not None for step in steps), command.calls[0]
        assert any(step.json is not None for step in steps) == ("--json" in command.flags), command.calls[0]


@pytest.mark.parametrize("wanted", reference_commands(), ids=lambda wanted: wanted.calls[0])
def test_ampctl_has_every_command_alias_and_flag_of_the_reference_system(wanted: Reference) -> None:
    command = BY_CALL[wanted.calls[0]]
    assert set(wanted.calls) <= set(command.calls)
    assert set(wanted.flags) <= command.flags


def test_every_command_that_asks_the_admin_api_has_the_common_options() -> None:
    local = {command.calls[0] for command in COMMANDS if not COMMON & command.flags}
    assert local == {"manifest generate", "completion"}
    assert all(command.flags >= COMMON for command in COMMANDS if command.calls[0] not in local)


# The scene


class Terminal(io.StringIO):
    """An output that people look at."""

    def isatty(self) -> bool:
        return True


@dataclass
class Scene:
    """A cluster with data, and what stands for things in it."""

    cluster: Cluster
    names: dict[str, str]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def words(self, line: str, **instead: str) -> list[str]:
        names = self.names | {"n": str(next(self.numbers))} | instead
        return shlex.split(re.sub(r"%(\w+)%", lambda found: names[found[1]], line))

    def pattern(self, text: str) -> str:
        known = {name: re.escape(value) for name, value in self.names.items()} | {"Z": TIMESTAMP}
        return re.sub(r"%(\w+)%", lambda found: known[found[1]], text)


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    complaints: str


def ran(words: list[str], *, out: io.StringIO | None = None, typed: str = "") -> Ran:
    """Run a command in this process."""
    written, complaints = out or io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.StringIO(typed))
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(complaints):
            code = run(words)
    result = Ran(code, written.getvalue(), complaints.getvalue())
    assert SECRET not in result.out + result.complaints
    assert "Traceback" not in result.complaints
    return result


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, recorded_node: str) -> Iterator[Scene]:
    """A controller that wants a token, a worker, and two datasets whose blocks are there."""
    directory = tmp_path_factory.mktemp("cluster")
    with cluster_in(directory, module_database_url, SETTINGS) as cluster, pytest.MonkeyPatch.context() as patched:
        cluster.start_controller()
        cluster.start_worker("worker-01")
        patched.setenv("AMP_ADMIN_URL", cluster.admin_url)
        for name in ("AMP_AUTH_TOKEN", "AMP_LOG"):
            patched.delenv(name, raising=False)
        url = recorded_node.replace("://", f"://user:{SECRET}@")
        provider = {"name": "mainnet", "kind": "evm-rpc", "network": "mainnet", "url": url}
        assert httpx.post(f"{cluster.admin_url}/providers", json=provider).status_code == 201
        register_dataset(cluster, "ethereum/mainnet", "mainnet", start_block=FIRST_BLOCK)
        register_dataset(cluster, "own/one", "mainnet", start_block=LAST_BLOCK)
        jobs = [deploy(cluster, name, end_block="latest") for name in ("ethereum/mainnet", "own/one")]
        for job in jobs:
            cluster.wait_for_status(job, "COMPLETED")
            _wait_for_end(cluster, job)
        token = httpx.post(f"{cluster.admin_url}/tokens", json={"role": "admin", "name": "operator"}).json()["token"]
        patched.setenv("AMP_AUTH_TOKEN", token)
        yield Scene(cluster, _names(cluster, str(jobs[0])))


def _wait_for_end(cluster: Cluster, job: int) -> None:
    """Wait until the ends of a job's tables are in the log of events."""
    query: dict[str, str] = {"after": "start", "follow": "false", "event_type": "sync.completed", "job_id": str(job)}

    def are_there() -> bool:
        return httpx.get(f"{cluster.admin_url}/events", params=query).text.count("event: sync.completed") == len(TABLES)

    wait_for(f"the ends of the tables of job {job}", are_there)


def _names(cluster: Cluster, done: str) -> dict[str, str]:
    """Return what stands for things, and make the files that commands read."""
    directory = cluster.directory
    revisions = {
        (each["metadata"]["dataset_namespace"], each["metadata"]["table_name"]): each
        for each in json.loads(ran(["table", "list", "--json"]).out)["revisions"]
    }
    own = revisions["own", "blocks"]
    made = {f"directory_{number}": f"own/one/blocks/by-hand-{number}" for number in range(1, 5)}
    for path in made.values():
        (directory / "data" / path).mkdir()
    files = {
        "input": '{"dataset": "ethereum/mainnet"}',
        "secret_file": "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgbG9uZyBlbm91Z2g=",
        "provider_file": f'kind = "evm-rpc"\nnetwork = "other"\nurl = "http://user:{SECRET}@127.0.0.1:1/"\n',
        "schema_file": json.dumps(
            {
                "tables": {"hashes": "SELECT hash FROM eth.blocks"},
                "dependencies": {"eth": "ethereum/mainnet@1.0.0"},
            }
        ),
        "manifest_file": ran(["dataset", "manifest", "ethereum/mainnet@1.0.0"]).out,
    }
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    for name in ("a.json", "b.json"):  # written by the first commands, and read by tests that run alone
        (directory / name).write_text(files["manifest_file"], encoding="utf-8")
    return {
        "tmp": str(directory),
        **{name: str(directory / name) for name in files},
        **made,
        "done": done,
        "mainnet": "ethereum/mainnet@1.0.0",
        "mainnet_name": "ethereum/mainnet",
        "mainnet_hash": revisions["ethereum", "blocks"]["metadata"]["manifest_hash"],
        "revision": str(revisions["ethereum", "blocks"]["id"]),
        "own_name": "own/one",
        "own_revision": str(own["id"]),
        "provider": "mainnet",
        "provider_of_nobody": "nobody",
        "dataset_of_nobody": "nowhere/nothing",
        "worker": "worker-01",
    }


# Against the live controller


@pytest.mark.parametrize("story", STORY_NAMES)
def test_every_command_prints_its_layout_and_its_json_and_ends_with_its_code(scene: Scene, story: str) -> None:
    for step in STORIES[story]:
        if step.text is not None:
            _for_people(scene, step)
        if step.json is not None:
            _as_json(scene, step)


def _for_people(scene: Scene, step: Step) -> None:
    # These two draw on a terminal.
    draws = "--watch" in step.line or step.line.startswith("verify")
    found = ran(scene.words(step.line), out=io.StringIO() if draws else Terminal(), typed=step.typed)
    assert found.code == step.code, (step.line, found)
    shown, silent = (found.complaints, found.out) if step.code else (found.out, found.complaints)
    assert silent == "" or step.typed, (step.line, found)
    text = shown.partition("[y/N] ")[2] if step.typed and step.code else shown
    assert text.endswith("\n")
    matched = re.fullmatch(scene.pattern(step.text or ""), text.removesuffix("\n"))
    assert matched, f"{step.line}\n{text}\nis not\n{scene.pattern(step.text or '')}"
    scene.names |= {name: value for name, value in matched.groupdict().items() if value is not None}


def _as_json(scene: Scene, step: Step) -> None:
    found = ran([*scene.words(step.line), "--json"])
    assert (found.code, found.complaints) == (0, ""), (step.line, found)
    *changes, last = found.out.removesuffix("\n").split("\n")
    assert changes == [] or "--watch" in step.line or " tail " in step.line
    assert_has_shape(json.loads(last), step.json, step.line)


def lines_that_ask(story: str) -> Iterator[tuple[Command, str]]:
    """Give each command that asks the Admin API once, with a line that calls it rightly."""
    seen = set()
    for step in STORIES[story]:
        command = BY_CALL[call_of(step.line)]
        if command.calls not in seen and step.code == 0 and "--admin-url" in command.flags:
            seen.add(command.calls)
            line = step.line if step.text is None or not step.typed else f"{step.line} --force"
            yield command, line


def first_names(story: str) -> dict[str, str]:
    """Return something for every name of a story: here nothing is reached."""
    return dict.fromkeys((name for step in STORIES[story] for name in re.findall(r"%(\w+)%", step.line)), "1")


@pytest.mark.parametrize("story", STORY_NAMES)
def test_without_an_admin_api_every_command_fails_with_what_to_look_at(scene: Scene, story: str) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    for _, line in lines_that_ask(story):
        found = ran([*scene.words(line, **(first_names(story) | scene.names)), "--admin-url", nowhere])
        assert (found.code, found.out) == (1, ""), (line, found)
        first, second = found.complaints.splitlines()
        assert first.startswith("✗ failed to "), line
        assert second.startswith(f"  → cannot reach the Admin API at {nowhere}: Connection refused. "), line
        assert "--admin-url or AMP_ADMIN_URL" in second


@pytest.mark.parametrize("story", STORY_NAMES)
def test_with_a_token_that_is_refused_every_command_fails_with_where_another_comes_from(
    scene: Scene, story: str
) -> None:
    for _, line in lines_that_ask(story):
        found = ran([*scene.words(line, **(first_names(story) | scene.names)), "--auth-token", "amp_wrong"])
        assert (found.code, found.out) == (1, ""), (line, found)
        first, second = found.complaints.splitlines()
        assert first.startswith("✗ failed to "), line
        assert second.startswith("  → the token is not known here; "), line
        assert "token create" in second


@pytest.mark.parametrize("story", STORY_NAMES)
def test_for_something_that_does_not_exist_every_command_says_so_and_where_to_look(scene: Scene, story: str) -> None:
    for command, line in lines_that_ask(story):
        if not any(f"%{name}%" in line for name in NOWHERE):
            continue
        found = ran(scene.words(line, **(first_names(story) | scene.names | NOWHERE)))
        if command.calls[0] in CONTENT_WITH_NOTHING:
            assert found.code == 0, (line, found)
            continue
        assert (found.code, found.out) == (1, ""), (line, found)
        first, *causes = found.complaints.splitlines()
        assert first.startswith("✗ failed to "), line
        assert re.search("not found|does not exist|not registered|no dataset", causes[0]), (line, causes)
        assert "ampctl " in causes[-1], (line, causes)


def test_a_command_in_a_process_of_its_own_takes_its_options_from_the_environment(scene: Scene) -> None:
    nouns = ("manifest", "provider", "dataset", "job", "table", "token", "webhook", "worker")
    command = [sys.executable, "-m", "ampd.cli.ampctl"]
    running = [
        subprocess.Popen([*command, noun, "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for noun in nouns
    ]
    for noun, process in zip(nouns, running, strict=True):
        out, complaints = process.communicate(timeout=60)
        assert (process.returncode, complaints) == (0, b""), noun
        assert out.count(b"\n") == 1
        assert isinstance(json.loads(out), dict)


def test_the_option_is_stronger_than_the_environment(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    url, token = scene.cluster.admin_url, os.environ["AMP_AUTH_TOKEN"]
    monkeypatch.setenv("AMP_ADMIN_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AMP_AUTH_TOKEN", "amp_wrong")
    assert ran(["job", "list", "--admin-url", url, "--auth-token", token]).code == 0
