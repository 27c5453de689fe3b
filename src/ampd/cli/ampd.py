"""``ampd``: the daemons, and the demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import structlog
from cyclopts import App, CycloptsError, Parameter

from ampd.errors import AmpError, ErrorCode, describe_exception

if TYPE_CHECKING:
    from ampd.config import Config

DONE, FAILED, USED_WRONGLY, INTERRUPTED = 0, 1, 2, 130


def _version() -> str:
    from ampd.daemons.build_info import build_info

    return build_info()["version"]


NO_NAMES: list[str] = []

app = App(
    name="ampd",
    help="Extract blockchains into a Parquet lake, with jobs that can be trusted.",
    version=_version,
    result_action="return_value",
)

ConfigFile = Annotated[Path | None, Parameter(name="--config", env_var="AMP_CONFIG", help="The TOML config file.")]


@app.command
def solo(
    *,
    amp_dir: Annotated[Path, Parameter(env_var="AMP_DIR")] = Path(".amp"),
) -> None:
    """Run everything on this machine: embedded PostgreSQL, controller with Admin API, one worker.

    Parameters
    ----------
    amp_dir
        Folder for configuration, data and the metadata database; made when it is not there.
    """
    from ampd.daemons.lifecycle import run_until_stopped
    from ampd.daemons.solo import metadata_db_of, prepare_amp_dir, run_solo
    from ampd.telemetry.logs import configure_logging

    configure_logging(component="solo")
    folder = amp_dir.absolute()
    config = prepare_amp_dir(folder)
    with metadata_db_of(config, folder) as url:
        run_until_stopped(lambda stop: run_solo(config, folder, url, stop))


@app.command
def controller(
    *,
    config: ConfigFile = None,
    insecure: bool = False,
) -> None:
    """Run a controller: the Admin API and the loops that place, watch and rescue jobs.

    Parameters
    ----------
    insecure
        Serve the Admin API on an address that other machines reach, without tokens.
    """
    from ampd.daemons.controller import run_controller
    from ampd.daemons.lifecycle import run_until_stopped
    from ampd.telemetry.logs import configure_logging

    configure_logging(component="controller")
    settings = _load(config)
    run_until_stopped(lambda stop: run_controller(settings, stop, insecure=insecure))


@app.command
def worker(
    *,
    config: ConfigFile = None,
    node_id: Annotated[str, Parameter(env_var="AMP_NODE_ID")],
    drain_timeout: float | None = None,
) -> None:
    """Run a worker: it registers under its node id, beats every second, and runs the jobs it is given.

    Parameters
    ----------
    node_id
        Name of this worker, unique among all that run: a letter, then letters, digits, `_`, `-`, `.`.
    drain_timeout
        Seconds to finish what is in hand after SIGTERM or Ctrl+C; the rest is given back.
    """
    from ampd.daemons.lifecycle import run_until_stopped
    from ampd.daemons.worker import run_worker
    from ampd.jobs import validate_node_id
    from ampd.telemetry.logs import configure_logging

    configure_logging(component="worker")
    name = validate_node_id(node_id)
    settings = _load(config)
    run_until_stopped(lambda stop: run_worker(settings, name, stop, drain_timeout_seconds=drain_timeout))


@app.command
def migrate(
    *,
    config: ConfigFile = None,
    phase: Literal["pre", "post", "all"] = "all",
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    force: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Bring the metadata database's tables up to date.

    Parameters
    ----------
    phase
        `pre`: what processes of the version before do not mind. `post`: what may only be taken away when none of
        them is left. `all`: both, one after the other.
    dry_run
        Change nothing: show what has been applied, what is pending, and which processes it has to wait for.
    force
        Apply also what makes older processes fail that are at work.
    json
        Print one line of JSON.
    """
    from ampd.cli.migrations import apply, show
    from ampd.telemetry.logs import configure_logging

    configure_logging(component="migrate")
    settings = _load(config)
    if dry_run:
        show(settings, phase, json)
    else:
        apply(settings, phase, force, json)


token = App(name="token", help="Tokens of the Admin API, made beside it: the first one, or when all others are lost.")
app.command(token)


@token.command(name="create")
def create_token(
    *,
    role: Literal["viewer", "operator", "admin"],
    name: str | None = None,
    namespace: Annotated[list[str], Parameter(negative=(), show_default=False)] = NO_NAMES,
    expires: Annotated[str | None, Parameter(help="After this time it opens nothing: 12h, 30d.")] = None,
    config: ConfigFile = None,
    amp_dir: Path | None = None,
) -> None:
    """Make a token in the metadata database, and print it: now, and never again.

    Parameters
    ----------
    role
        What it may do: a viewer reads, an operator also runs jobs, an admin also changes datasets, providers,
        webhooks and tokens.
    name
        Stands in the history of jobs; one is made up unless given.
    namespace
        It sees only datasets in this namespace, and their jobs. May be repeated.
    amp_dir
        In place of a config file: the folder of an `ampd solo` that does not run at the moment.
    """
    from ampd.cli.ctl.schedule import read_interval
    from ampd.cli.first_token import make_token, metadata_db_in
    from ampd.telemetry.logs import configure_logging

    configure_logging(component="token")
    try:
        seconds = None if expires is None else read_interval(expires) / 1000
    except ValueError as error:
        raise AmpError(ErrorCode.INVALID_BODY, f"--expires: {error}") from None
    if amp_dir is None:
        make_token(_load(config), role, name, namespace, seconds)
        return
    with metadata_db_in(amp_dir) as settings:
        make_token(settings, role, name, namespace, seconds)


@app.command
def demo(
    *,
    rpc_url: str | None = None,
    start: int | None = None,
    end: int | None = None,
    keep: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    dashboard: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Extract 23 real Ethereum blocks into a lake, watch it, query it.

    Parameters
    ----------
    rpc_url
        Extract from this JSON-RPC node instead of the recorded blocks.
    start
        First block to take from your node (default: the last 20 blocks).
    end
        Last block to take from your node (default: its newest).
    keep
        Keep the lake, its database and its logs in this folder.
    json
        Print one JSON object with the counts as the last line.
    dashboard
        Start more jobs afterwards, and leave the dashboard open until Ctrl+C.
    """
    from ampd.demo import DemoOptions, run_demo

    run_demo(DemoOptions(rpc_url=rpc_url, start=start, end=end, keep=keep, json=json, dashboard=dashboard))


@app.command(name="replay-node", show=False)
def replay_node(
    *,
    blocks: Path,
    host: str = "127.0.0.1",
    port: int = 8545,
    length: int | None = None,
    chain_id: int | None = None,
    gzip: bool = False,
    latency: float = 0.0,
    block_seconds: float | None = None,
) -> None:
    """Serve recorded blocks as an Ethereum JSON-RPC node (for demos, tests and benchmarks).

    Parameters
    ----------
    blocks
        Folder of recorded blocks (`NUMBER.json.gz`).
    port
        Port to listen on; 0 takes any free one.
    length
        Repeat the recorded blocks into a chain of this many.
    latency
        Seconds to wait before each answer.
    block_seconds
        Begin with the recorded blocks, and let the chain grow by one block every so many seconds.
    """
    from ampd.replay_node import run_replay_node

    run_replay_node(
        blocks=blocks,
        host=host,
        port=port,
        length=length,
        chain_id=chain_id,
        gzip=gzip,
        latency_seconds=latency,
        block_seconds=block_seconds,
    )


@app.command(name="replay-firehose", show=False)
def replay_firehose(
    *,
    blocks: Path,
    host: str = "127.0.0.1",
    port: int = 13042,
    length: int | None = None,
    gzip: bool = False,
    latency: float = 0.0,
) -> None:
    """Serve recorded blocks as a Firehose server (for demos, tests and benchmarks).

    Parameters
    ----------
    blocks
        Folder of recorded blocks (`*.dbin.zst`).
    port
        Port to listen on; 0 takes any free one.
    length
        Repeat the recorded blocks into a chain of this many.
    latency
        Seconds to wait before each block.
    """
    from ampd.replay_node.firehose import run_replay_firehose

    run_replay_firehose(blocks=blocks, host=host, port=port, length=length, gzip=gzip, latency_seconds=latency)


def _load(config: Path | None) -> Config:
    from ampd.config import load_config

    if config is None or config == Path():
        raise AmpError(
            ErrorCode.CONFIG_NOT_FOUND,
            "--config parameter is mandatory: give the TOML config file with --config FILE or AMP_CONFIG=FILE "
            "(`ampd solo` needs none)",
        )
    return load_config(config)


def config_behind_command(arguments: list[str]) -> list[str]:
    """Move a leading ``--config FILE`` behind the command: both places are valid (`ampd --config FILE worker`)."""
    taken: list[str] = []
    rest = list(arguments)
    while rest and (rest[0] == "--config" or rest[0].startswith("--config=")):
        count = 2 if rest[0] == "--config" else 1
        taken += rest[:count]
        del rest[:count]
    words = 2 if rest[:1] == ["token"] else 1
    return [*rest[:words], *taken, *rest[words:]]


def main() -> None:
    """Run ``ampd``; exit 0, 1 on error, 2 on bad usage."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; errors go to stderr without a stack trace. Return the exit code."""
    try:
        code = app(config_behind_command(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        command = " ".join(["ampd", *(error.command_chain or ())])
        print(f"{error}\n{command} --help tells more", file=sys.stderr)
        return USED_WRONGLY
    except AmpError as error:
        print(f"Exiting with error: {error.message}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        # A defect of ours. The log has the stack trace for whoever mends it; the last line is for everybody.
        structlog.get_logger(__name__).exception("ampd.crashed")
        print(f"Exiting with error: unexpected: {describe_exception(error)}", file=sys.stderr)
        return FAILED
    return code if isinstance(code, int) else DONE


if __name__ == "__main__":
    main()
