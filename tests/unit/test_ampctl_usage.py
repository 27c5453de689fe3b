from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ampd import __version__
from ampd.datasets import generate_manifest, parse_manifest
from support.ampctl import run

NOUNS = {
    "manifest": {"generate", "register", "list", "inspect"},
    "provider": {"register", "list", "inspect", "rm"},
    "dataset": {"register", "deploy", "list", "inspect", "versions", "manifest", "jobs"},
    "job": {"list", "inspect", "progress", "events", "stop", "rm", "prune"},
    "webhook": {
        *("list", "create", "inspect", "rm", "enable", "disable", "rotate", "test", "deliveries", "replay"),
    },
    "worker": {"list", "inspect"},
}


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point every command at an address where nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AMP_ADMIN_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
    monkeypatch.delenv("AMP_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("AMP_LOG", raising=False)


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_printed(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([flag]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_noun_with_its_plural(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    text = capsys.readouterr().out
    assert all(noun in text and f"{noun}s" in text for noun in NOUNS)


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_alone_prints_its_verbs(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (noun, f"{noun}s"):
        assert run([name]) == 0
        text = capsys.readouterr().out
        assert all(verb in text for verb in NOUNS[noun])


def test_every_command_has_help_and_takes_the_address_and_the_token_from_the_environment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for noun, verbs in NOUNS.items():
        for verb in verbs:
            assert run([noun, verb, "--help"]) == 0
            text = capsys.readouterr().out
            if (noun, verb) != ("manifest", "generate"):
                assert all(word in text for word in ("AMP_ADMIN_URL", "AMP_AUTH_TOKEN", "--json")), (noun, verb)


@pytest.mark.parametrize(
    "line",
    [
        "job nothing",
        "job stop",
        "job stop x",
        "job stop 1 2",
        "job stop 1 --force",
        "job list -l many",
        "job rm",
        "dataset register a/x",
        "manifest generate --kind evm-rpc",
        "nothing",
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_and_where_help_is(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("✗ ")
    assert "  → ampctl" in written.err
    assert "--help" in written.err


@pytest.mark.parametrize(
    "line",
    [
        "job list",
        "job ls",
        "job inspect 1",
        "job get 1",
        "job progress 1",
        "job progress 1 --watch",
        "job events 1",
        "job stop 1",
        "job rm 1",
        "job remove 1",
        "job prune",
        "worker list",
        "worker ls",
        "worker inspect w",
        "worker get w",
        "dataset list",
        "dataset ls",
        "dataset inspect a/x",
        "dataset get a/x",
        "dataset versions a/x",
        "dataset manifest a/x",
        "dataset jobs a/x",
        "dataset deploy a/x",
        "dataset dep a/x",
        "manifest list",
        "manifest inspect beef",
        "provider list",
        "provider inspect p",
        "provider rm p",
    ],
)
def test_without_an_admin_api_every_command_fails_with_the_mend(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 1
    written = capsys.readouterr()
    assert written.out == ""
    first, second = written.err.splitlines()
    assert first.startswith("✗ failed to ")
    assert second.startswith(f"  → cannot reach the Admin API at {os.environ['AMP_ADMIN_URL']}: Connection refused")
    assert "running?" in second


def test_the_option_wins_over_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "list", "--admin-url", "http://127.0.0.1:9"]) == 1
    assert "http://127.0.0.1:9:" in capsys.readouterr().err


def test_a_bad_token_or_address_is_an_error_without_a_stack_trace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMP_AUTH_TOKEN", "s3cret\n")
    assert run(["job", "list"]) == 1
    written = capsys.readouterr().err
    assert "printable ASCII" in written
    assert "s3cret" not in written
    assert run(["job", "list", "--admin-url", "nowhere", "--auth-token", "t"]) == 1
    assert "AMP_ADMIN_URL" in capsys.readouterr().err


# Files


def test_a_file_that_is_not_json_is_named_with_line_and_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.json"
    file.write_text('{\n  "kind": "evm-rpc",\n  oops\n}\n')
    for command in (["dataset", "register", "a/x", str(file)], ["manifest", "register", str(file)]):
        assert run(command) == 1
        written = capsys.readouterr().err
        assert str(file) in written
        assert "line 3, column 3" in written


@pytest.mark.parametrize("content", [b"[1]", b"\xff", b"", b'{"a": NaN}', b"[" * 100_000])
def test_a_file_with_something_else_than_a_json_object_is_an_error(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.json"
    file.write_bytes(content)
    assert run(["manifest", "register", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.toml"
    for command in (["provider", "register", "p", str(missing)], ["dataset", "register", "a/x", str(missing)]):
        assert run(command) == 1
        assert f"cannot read {missing}: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "named"), [("kind = x\n", "line 1"), ('network = "x"\n', "kind")])
def test_a_bad_provider_file_is_named_with_what_is_wrong(
    content: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.toml"
    file.write_text(content)
    assert run(["provider", "register", "p", str(file)]) == 1
    written = capsys.readouterr().err
    assert str(file) in written
    assert named in written


def test_a_manifest_is_generated_without_an_admin_api(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.json"
    options = ["--kind", "evm-rpc", "--network", "mainnet", "--start-block", "15", "--finalized-blocks-only"]
    assert run(["manifest", "generate", *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert run(["manifest", "generate", *options, "--out", str(file)]) == 0
    wanted = generate_manifest("evm-rpc", "mainnet", 15, True)
    assert parse_manifest(printed) == parse_manifest(json.loads(file.read_text())) == wanted


def test_a_manifest_of_an_unknown_kind_or_into_no_folder_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["manifest", "generate", "--kind", "gif", "--network", "mainnet"]) == 1
    assert "'gif'" in capsys.readouterr().err
    nowhere = tmp_path / "none" / "m.json"
    assert run(["manifest", "generate", "--kind", "evm-rpc", "--network", "mainnet", "-o", str(nowhere)]) == 1
    assert f"cannot write {nowhere}" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    command = [sys.executable, "-m", "ampd.cli.ampctl", "manifest", "generate", "--kind", "evm-rpc", "--network", "m"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(write_end)
    assert (process.returncode, process.stderr) == (141, b"")
