"""Completion of ampctl's commands and options in real shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.ampctl import run
from support.shell import MISSING_TOOLS
from support.terminal import SECONDS, on_terminal

pytestmark = pytest.mark.skipif(bool(MISSING_TOOLS), reason=f"shells need {', '.join(MISSING_TOOLS)}")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("AMP_")} | {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "TERM": "xterm",
    "COLUMNS": "200",
}


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (["bash", "--norc", "--noprofile", "-i"], "source <(ampctl completion bash)"),
        (
            ["zsh", "-f", "-i"],
            "autoload -Uz compinit; compinit -u -d zcompdump; source <(ampctl completion zsh)",
        ),
    ],
    ids=["bash", "zsh"],
)
def test_the_tab_key_completes_nouns_verbs_and_options(command: list[str], lines: str, tmp_path: Path) -> None:
    with on_terminal(command, ENVIRONMENT, tmp_path) as typed:
        # What runs in the end is shown, and not done.
        typed.type(f"{lines}; ampctl() {{ echo \"ran: $*\"; }}; echo rea''dy\n")
        typed.read_until("ready")
        typed.type("ampctl jo\t")
        typed.read_until("ampctl job")
        typed.type(" prog\t7 --wat\t\n")
        assert "ran: job progress 7 --watch\n" in typed.read_until(r"ran: .*\n")


def test_fish_completes_nouns_verbs_and_options(tmp_path: Path) -> None:
    asked = "ampctl completion fish | source; " + "; ".join(
        f'complete -C "{typed}"' for typed in ("ampctl jo", "ampctl job prog", "ampctl job list --stat")
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", asked],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"HOME": str(tmp_path)},
        timeout=SECONDS,
        check=True,
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["job", "jobs", "progress", "--status"]


def test_a_shell_that_is_not_known_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert '"bash", "zsh", "fish"' in capsys.readouterr().err
