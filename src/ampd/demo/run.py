"""The course of the demo."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from ampd.chain.networks import CHAIN_IDS
from ampd.client import Ampd, Job, Progress
from ampd.datasets import generate_manifest
from ampd.demo import explore, processes, show
from ampd.demo.queries import GAS_BY_BLOCK, GAS_BY_HOUR, LARGEST_TRANSFERS, TOP_TOKENS, Lake
from ampd.errors import AmpError, ErrorCode
from ampd.sources.evm_rpc import Endpoint
from ampd.sources.evm_rpc.client import RpcClient

NAMESPACE, NAME, VERSION = "demo", "blocks", "1.0.0"
RECORDED_BLOCKS = "ethereum-17686110-17686132"
_DEFAULT_BLOCKS = 20
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class DemoOptions:
    """``rpc_url``: a node of the user's own, with the blocks wanted of it; ``keep``: where the lake stays;
    ``dashboard``: go on with more jobs, until a signal.
    """

    rpc_url: str | None = None
    start: int | None = None
    end: int | None = None
    keep: Path | None = None
    json: bool = False
    dashboard: bool = False


@dataclass(frozen=True)
class _Chain:
    url: str
    network: str
    start: int
    end: int


@dataclass(frozen=True)
class _Result:
    blocks: int
    transactions: int
    logs: int
    files: int
    bytes: int
    seconds: float
    data_dir: str


def run_demo(options: DemoOptions) -> None:
    """Run the demo.

    :raises AmpError: what went wrong, and what to do.
    """
    console = Console(highlight=False)
    if options.rpc_url is None and (options.start is not None or options.end is not None):
        raise AmpError(
            ErrorCode.CONFIG_INVALID, "--start and --end choose blocks of your own node: give --rpc-url URL too"
        )
    with _amp_dir(options.keep) as amp_dir, ExitStack() as running:
        url = options.rpc_url or running.enter_context(processes.replay_node(recorded_blocks()))
        chain = asyncio.run(_look_at_chain(url, options))
        show.introduce(console, chain.url if options.rpc_url else None, chain.network, chain.start, chain.end)
        admin_url = running.enter_context(processes.solo(amp_dir))
        with Ampd(admin_url) as client:
            result = _extract(console, client, chain, amp_dir)
        show.result(console, **vars(result))
        _query(console, amp_dir)
        if options.dashboard:
            explore.leave_open(console, admin_url, recorded_blocks(), _first_recorded_block())
    show.next_steps(console, options.keep)
    if options.json:
        print(json.dumps(vars(result), separators=(",", ":")))  # noqa: T201 - the answer of a command


def recorded_blocks() -> Path:
    """Return the folder of the recorded blocks: inside an installed package, or in the checkout."""
    installed = Path(str(files("ampd.demo"))) / "blocks"
    if installed.is_dir():
        return installed
    checkout = Path(__file__).resolve().parents[3] / "tests" / "data" / "blocks" / RECORDED_BLOCKS
    if not checkout.is_dir():
        raise AmpError(ErrorCode.RECORDED_BLOCKS_INVALID, f"the recorded blocks of the demo are missing at {checkout}")
    return checkout


@contextmanager
def _amp_dir(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / processes.SOLO_LOG).touch()
        except OSError as error:
            raise AmpError(
                ErrorCode.DATA_STORE_NOT_WRITABLE,
                f"cannot write in the folder {keep} of --keep: {error.strerror}; choose one that can be written",
            ) from None
        yield keep.absolute()
        return
    directory = Path(tempfile.mkdtemp(prefix="ampd-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


async def _look_at_chain(url: str, options: DemoOptions) -> _Chain:
    """Ask the node which chain it is and how far it reaches, and choose the blocks."""
    if not url.startswith(("http://", "https://")):
        raise AmpError(ErrorCode.CONFIG_INVALID, f"--rpc-url {url!r} is no URL: it must start with http:// or https://")
    client = RpcClient(Endpoint(url, timeout_seconds=10))
    try:
        chain_id = await _number(client, "eth_chainId")
        head = await _number(client, "eth_blockNumber")
    finally:
        await client.close()
    network = next((name for name, known in CHAIN_IDS.items() if known == chain_id), f"chain-{chain_id}")
    end = head if options.end is None else options.end
    if options.start is not None:
        start = options.start
    else:
        start = _first_recorded_block() if options.rpc_url is None else max(0, end - _DEFAULT_BLOCKS + 1)
    if not 0 <= start <= end <= head:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"blocks {start} to {end} cannot be had: the node's newest block is {head}; "
            "choose --start N --end M up to that",
        )
    return _Chain(url, network, start, end)


async def _number(client: RpcClient, method: str) -> int:
    answer = await client.call(method, [])
    try:
        return int(answer, 16)
    except (TypeError, ValueError):
        raise AmpError(
            ErrorCode.NODE_ANSWER_MALFORMED,
            f"{client.endpoint.shown_url} answered {method} with {str(answer)[:80]!r}, which is no hex number: "
            "is it an Ethereum JSON-RPC endpoint?",
        ) from None


def _first_recorded_block() -> int:
    return min(int(path.name.partition(".")[0]) for path in recorded_blocks().glob("*.json.gz"))


def _extract(console: Console, client: Ampd, chain: _Chain, amp_dir: Path) -> _Result:
    started = time.monotonic()
    client.providers.register("demo", "evm-rpc", {"network": chain.network, "url": chain.url})
    client.datasets.register(f"{NAMESPACE}/{NAME}", _manifest(chain), VERSION)
    job_id = client.datasets.deploy(f"{NAMESPACE}/{NAME}@{VERSION}", end_block=chain.end)
    with show.progress_bar(console, chain.start, chain.end) as advance:
        progress = _follow(client, job_id, advance)
    _check_end(client.jobs.get(job_id))
    tables = progress.tables
    return _Result(
        blocks=tables["blocks"].row_count,
        transactions=tables["transactions"].row_count,
        logs=tables["logs"].row_count,
        files=sum(table.files_count for table in tables.values()),
        bytes=sum(table.total_size_bytes for table in tables.values()),
        seconds=round(time.monotonic() - started, 3),
        data_dir=str(amp_dir / "data"),
    )


def _manifest(chain: _Chain) -> dict[str, object]:
    manifest = generate_manifest("evm-rpc", chain.network, chain.start, False)
    answer: dict[str, object] = json.loads(manifest.canonical_json())
    return answer


def _follow(client: Ampd, job_id: int, advance: show.Advance) -> Progress:
    """Watch the job until it ends, or stumbles: a demo does not wait for a node to mend."""
    while True:
        progress = client.jobs.progress(job_id)
        advance(progress)
        if progress.is_terminal or progress.last_error is not None:
            return progress
        time.sleep(_POLL_SECONDS)


def _check_end(job: Job) -> None:
    if job.last_error is not None:
        raise AmpError(ErrorCode.INTERNAL_ERROR, f"the extraction failed: {job.last_error}")
    if job.state != "COMPLETED":
        raise AmpError(ErrorCode.INTERNAL_ERROR, f"the extraction ended as {job.state}, not COMPLETED")


def _query(console: Console, amp_dir: Path) -> None:
    lake = Lake(amp_dir / "data" / NAMESPACE / NAME)
    by_time = GAS_BY_HOUR if lake.spans_hours() else GAS_BY_BLOCK
    for query in (TOP_TOKENS, by_time, LARGEST_TRANSFERS):
        show.answer(console, query, lake.ask(query))
