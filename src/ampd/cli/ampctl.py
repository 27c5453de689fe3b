"""ampctl: the operator's hand. It talks to the Admin API and to nothing else.

Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Literal

from cyclopts import App, CycloptsError

from ampd import __version__
from ampd.cli.ctl import dataset, events, job, manifest, provider, schema, table, token, verify, webhook, worker
from ampd.cli.ctl.common import CommandFailedError, WronglyUsedError
from ampd.cli.ctl.output import clean
from ampd.errors import AmpError, describe_exception

DONE, FAILED, USED_WRONGLY, INTERRUPTED = 0, 1, 2, 130
# What a program gets that SIGPIPE ends: 128 + 13.
READER_GONE = 141

PROGRAM = "ampctl"

app = App(
    name=PROGRAM,
    help="Operate ampd: datasets, jobs and workers, over the Admin API.",
    version=__version__,
    version_flags=["--version", "-V"],
    suppress_keyboard_interrupt=False,
)
for noun in (dataset, events, job, manifest, provider, table, token, webhook, worker):
    app.command(noun.app)
app.command(verify.verify_dataset, name="verify")
app.command(schema.infer_schema, name="schema")


@app.command(name="completion")
def print_completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print what makes a shell complete commands and options of ampctl at the TAB key. Needs no Admin API.

    For bash, in ~/.bashrc: `source <(ampctl completion bash)`. For zsh, in ~/.zshrc, after compinit:
    `source <(ampctl completion zsh)`. For fish, in ~/.config/fish/config.fish: `ampctl completion fish | source`.

    Parameters
    ----------
    shell
        The shell that it is for.
    """
    script = app.generate_completion(shell=shell)
    if shell == "zsh":
        # What is made is for a directory of $fpath. This line makes it do for `source`, too.
        script += f"compdef _cyclopts_{PROGRAM} {PROGRAM}\n"
    print(script)


def _tell_version_everywhere(parent: App) -> None:
    """Let every noun and command answer --version and -V as ampctl itself does; left alone they tell another one."""
    for name in parent:
        if not name.startswith("-"):
            command = parent[name]
            command.version, command.version_flags = parent.version, parent.version_flags
            command["--version"].show = False  # in help it stands once: at the top
            _tell_version_everywhere(command)


_tell_version_everywhere(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; errors go to stderr without a stack trace. Return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        _accept_any_text(stream)
    try:
        return _run_or_complain(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at the end: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE


def _run_or_complain(arguments: Sequence[str]) -> int:
    try:
        return _run(arguments)
    except CycloptsError as error:
        return _complain(USED_WRONGLY, str(error), [f"{_command_of(error)} --help tells more"])
    except CommandFailedError as error:
        return _complain(USED_WRONGLY if isinstance(error, WronglyUsedError) else FAILED, error.what, error.causes)
    except AmpError as error:
        return _complain(FAILED, error.message)
    except BrokenPipeError:
        raise
    except Exception as error:  # a defect of ours
        if os.environ.get("AMP_LOG"):
            import structlog

            structlog.get_logger(__name__).exception("ampctl.crashed")
        return _complain(FAILED, "unexpected error", [describe_exception(error), "AMP_LOG=debug shows more"])


def _run(arguments: Sequence[str]) -> int:
    if os.environ.get("AMP_LOG"):
        # Only when somebody asks for logs: a command of an operator starts fast.
        from ampd.telemetry.logs import configure_logging

        configure_logging(component="ampctl")
    code = app(
        dataset.with_verify_mode(arguments),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    sys.stdout.flush()
    return code if isinstance(code, int) else DONE


def _accept_any_text(stream: object) -> None:
    """Let a terminal that cannot show a character show its code instead of failing."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _command_of(error: CycloptsError) -> str:
    return " ".join(["ampctl", *(error.command_chain or ())])


def _complain(code: int, what: str, causes: Sequence[str] = ()) -> int:
    lines = [f"✗ {what}", *(f"{'  ' * depth}→ {cause}" for depth, cause in enumerate(causes, start=1))]
    print(clean("\n".join(lines)), file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
