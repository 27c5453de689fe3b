"""The nodes of one network: they share the load and stand in for each other.

A node is used after it has told which chain it serves. One that does wrong is benched for a while that doubles; then it
is asked for its chain again, in the background, before blocks are asked from it. While there is no other, a bad node is
better than none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from ampd.errors import AmpError
from ampd.sources.cooldowns import CooldownStore, SharedCooldowns
from ampd.sources.evm_rpc.classify import Reaction
from ampd.sources.evm_rpc.client import Patience, RpcClient
from ampd.sources.evm_rpc.endpoint import Endpoint
from ampd.sources.evm_rpc.faults import NodeFault, malformed
from ampd.sources.evm_rpc.genesis import ChainIdentity, check_identity, expected_identity, identify
from ampd.tasks import cancel_all
from ampd.telemetry.node_metrics import NodeState, watch_endpoints

_log = structlog.get_logger(__name__)

_LONGEST_BENCH_SECONDS: Final = 120.0
# Nodes that answer later than this after the first one are not waited for.
_GRACE_SECONDS: Final = 0.5
# Where no node tells which block is finalized: that many blocks behind the newest one (two epochs of Ethereum).
_FINALITY_DISTANCE: Final = 64
_FINALITY_EVERY_SECONDS: Final = 5.0
_MOST_STRIKES: Final = 5
_BLOCK_RECEIPTS: Final = "eth_getBlockReceipts"


@dataclass(eq=False)
class Node:
    """One node and what is known about it. ``head`` is the highest block that it is known to have."""

    client: RpcClient
    identity: ChainIdentity | None = None
    head: int | None = None
    benched_until: float = 0.0
    benches: int = 0
    strikes: int = 0
    receipts_by_number: bool = False
    fault: AmpError | None = None

    @property
    def shown_url(self) -> str:
        """The node's URL without secrets."""
        return self.client.endpoint.shown_url

    @property
    def gives_block_receipts(self) -> bool:
        """Tell whether all receipts of a block can be asked for at once, as far as is known."""
        return not self.client.endpoint.receipts_per_transaction and _BLOCK_RECEIPTS not in self.client.unsupported

    def has(self, number: int) -> bool:
        """Tell whether the node may have a block."""
        return self.head is None or self.head >= number


class NodePool:
    """The nodes behind ``endpoints``, in that order."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        network: str,
        patience: Patience | None = None,
        cooldowns: CooldownStore | None = None,
    ) -> None:
        self.patience = patience or Patience()
        self._network = network
        keys = [endpoint.key for endpoint in endpoints]
        self._shared = SharedCooldowns(cooldowns, keys, self._hear)
        self.nodes = [Node(self._client(endpoint, has_stand_ins=len(endpoints) > 1)) for endpoint in endpoints]
        self._expected: ChainIdentity | None = None
        self._final = -1
        self._final_at = float("-inf")
        self._turn = 0
        self._probes: dict[int, asyncio.Task[None]] = {}
        self._is_closed = False
        watch_endpoints(self.states)

    def _client(self, endpoint: Endpoint, *, has_stand_ins: bool) -> RpcClient:
        def tell(seconds: float, reason: str) -> None:
            self._shared.tell(endpoint.key, seconds, reason)

        return RpcClient(
            endpoint, patience=self.patience, on_cooldown=tell, has_stand_ins=has_stand_ins, network=self._network
        )

    def _hear(self, key: str, seconds: float) -> None:
        for node in self.nodes:
            if node.client.endpoint.key == key:
                node.client.rest(seconds)

    async def close(self) -> None:
        """Close all connections."""
        self._is_closed = True
        await cancel_all(list(self._probes.values()))
        await self._shared.close()
        for node in self.nodes:
            await node.client.close()

    def states(self) -> list[NodeState]:
        """Return how each endpoint is paced at this moment, for metrics."""
        now = _now()
        return [
            NodeState(
                labels=node.client.meter.labels,
                concurrency_limit=node.client.concurrency.value,
                in_flight=node.client.slots.held,
                batch_limit=node.client.batch.value,
                rest_seconds=node.client.rest_seconds,
                is_benched=node.benched_until > now,
            )
            for node in self.nodes
            if not self._is_closed
        ]

    # Which chain

    async def start(self) -> int:
        """Ask all nodes which chain they serve, and return its id. Those of another chain are left out.

        :raises AmpError: when no node can be used: the fault of the first, one that may pass before one that will not.
        """
        await self._shared.read()
        results = await _gathered([identify(node.client) for node in self.nodes])
        for node, result in zip(self.nodes, results, strict=True):
            if isinstance(result, ChainIdentity):
                node.identity = result
            elif isinstance(result, AmpError):
                node.fault = result
        self._expected = expected_identity(known) if (known := self._identities()) else None
        for node in self.nodes:
            self._check(node)
        fit = [node for node in self.nodes if node.identity is not None]
        if not fit or self._expected is None:
            raise self._first_fault()
        for node in self.nodes:
            if node.identity is not None:
                continue
            if node.fault is not None:
                self._bench(node, node.fault)
            else:  # it has not answered yet: it is asked again when blocks are
                node.benched_until = _now()
        return self._expected.chain_id

    def _identities(self) -> list[ChainIdentity]:
        """Return what the nodes say, without those that the network's name rules out."""
        known = []
        for node in self.nodes:
            if node.identity is None:
                continue
            try:
                check_identity(node.identity, None, network=self._network, shown_url=node.shown_url)
            except NodeFault as fault:
                node.identity, node.fault = None, fault
            else:
                known.append(node.identity)
        return known

    def _check(self, node: Node) -> None:
        if node.identity is None:
            return
        try:
            check_identity(node.identity, self._expected, network=self._network, shown_url=node.shown_url)
        except NodeFault as fault:
            node.identity, node.fault = None, fault
        else:
            node.fault = None

    def _first_fault(self) -> AmpError:
        faults = [node.fault for node in self.nodes if node.fault is not None]
        return next((fault for fault in faults if fault.recoverable), faults[0])

    # Health

    def report(self, node: Node, fault: AmpError) -> None:
        """Take note that ``node`` did wrong in a way that waiting did not mend."""
        node.fault = fault
        if len(self.nodes) > 1:
            self._bench(node, fault)

    def strike(self, node: Node, fault: AmpError) -> None:
        """Take note that ``node`` gave an answer that is not the chain's; several in a row are too many."""
        node.strikes += 1
        if node.strikes >= _MOST_STRIKES:
            node.strikes = 0
            self.report(node, fault)

    def served(self, node: Node, last_block: int) -> None:
        """Take note of good blocks."""
        node.benches = node.strikes = 0
        if node.head is not None:
            node.head = max(node.head, last_block)

    def lacks(self, node: Node, number: int) -> None:
        """Take note that a node does not have a block yet."""
        node.head = number - 1

    def _bench(self, node: Node, fault: AmpError) -> None:
        node.benches += 1
        is_lasting = isinstance(fault, NodeFault) and fault.verdict.reaction is Reaction.FATAL
        most = self.patience.bench * 2 ** (node.benches - 1)
        seconds = _LONGEST_BENCH_SECONDS if is_lasting else min(most, _LONGEST_BENCH_SECONDS)
        node.benched_until = _now() + seconds
        node.client.meter.benched()
        _log.warning(
            "node.benched",
            endpoint=node.shown_url,
            seconds=round(seconds, 1),
            error_code=str(fault.code),
            error=fault.message,
        )

    def _is_fit(self, node: Node) -> bool:
        """Tell whether a node can be used now. One whose time on the bench is over is probed first."""
        if node.benched_until == 0.0:
            return node.identity is not None
        if node.benched_until <= _now() and id(node) not in self._probes:
            self._in_background(node, self._probe(node))
        return False

    def _in_background(self, node: Node, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._probes[id(node)] = task
        task.add_done_callback(lambda _: self._probes.pop(id(node), None))

    async def _probe(self, node: Node) -> None:
        try:
            node.identity = await identify(node.client)
        except AmpError as fault:
            node.fault = fault
        else:
            self._check(node)
        if node.identity is None or node.fault is not None:
            assert node.fault is not None  # noqa: S101 - _check says why it takes an identity away
            self._bench(node, node.fault)
            return
        node.benched_until = 0.0
        _log.info("node.back", endpoint=node.shown_url)

    # Choice

    def usable(self) -> list[Node]:
        """Return the nodes to ask: those that are fit, else those that are at least of the right chain."""
        fit = [node for node in self.nodes if self._is_fit(node)]
        return fit or [node for node in self.nodes if node.identity is not None]

    def choose(self, last_block: int, avoid: Collection[int]) -> Node:
        """Return the node for blocks up to ``last_block``: one that has them, is not avoided, and is least busy.

        ``avoid`` holds positions in :attr:`nodes`; when nobody else is there, an avoided node is better than none.

        :raises AmpError: when there is no node of the chain any more.
        """
        self._shared.read_soon()
        usable = self.usable()
        if not usable:
            raise self._first_fault()
        self._turn += 1
        count = len(self.nodes)

        def cost(node: Node) -> tuple[bool, bool, float, bool, float, int]:
            position = self.nodes.index(node)
            return (
                not node.has(last_block),
                position in avoid,
                node.client.rest_seconds,
                not node.gives_block_receipts,
                node.client.slots.load,
                (position - self._turn) % count,
            )

        return min(usable, key=cost)

    def others_than(self, avoid: Collection[int], last_block: int) -> bool:
        """Tell whether there is a usable node beside those that are avoided, which may have the block."""
        return any(self.nodes.index(node) not in avoid and node.has(last_block) for node in self.usable())

    # How far the chain reaches

    async def latest(self, *, finalized: bool) -> int | None:
        """Return the number of the newest (finalized) block that any node has; None when they know none yet.

        The finalized block never goes back.

        :raises AmpError: when no node answers.
        """
        usable = self.usable()
        if not usable:
            raise self._first_fault()
        tag = "finalized" if finalized else "latest"
        results = await _gathered([_number_of(node, tag) for node in usable])
        numbers = []
        for node, result in zip(usable, results, strict=True):
            if isinstance(result, AmpError):
                self.report(node, result)
            elif isinstance(result, int):
                numbers.append(result)
                # A node that says what is finalized has at least that.
                node.head = result if not finalized else max(result, node.head or 0)
        if not numbers and all(result is not None for result in results):
            raise self._first_fault()
        newest = max(numbers, default=None)
        if finalized and newest is not None:
            self._final = newest = max(self._final, newest)
        return newest

    async def block_hash(self, number: int) -> bytes | None:
        """Return the hash of the block at ``number``, from the first node that knows it; None when none does.

        :raises AmpError: when no node answers.
        """
        fault: AmpError | None = None
        answered = False
        avoid: set[int] = set()
        for _ in range(len(self.usable())):
            node = self.choose(number, avoid)
            avoid.add(self.nodes.index(node))
            try:
                header = await node.client.call("eth_getBlockByNumber", [hex(number), False])
                if header is not None:
                    return _hash_of(node, header)
                answered = True
            except AmpError as error:
                self.report(node, error)
                fault = error
        if answered:
            return None
        raise fault or self._first_fault()

    async def is_final(self, number: int) -> bool:
        """Tell whether a block can be missing no more: it is finalized, as far as any node tells."""
        if number <= self._final:
            return True
        if _now() - self._final_at >= _FINALITY_EVERY_SECONDS:
            self._final_at = _now()
            results = await _gathered([_number_of(node, "finalized") for node in self.usable()])
            told = [result for result in results if isinstance(result, int)]
            if not told:
                told = [node.head - _FINALITY_DISTANCE for node in self.nodes if node.head is not None]
            self._final = max([self._final, *told])
        return number <= self._final


def _hash_of(node: Node, header: Any) -> bytes:
    try:
        found = bytes.fromhex(header["hash"].removeprefix("0x"))
    except (TypeError, KeyError, ValueError, AttributeError):
        raise malformed(node.shown_url, "eth_getBlockByNumber", "a block without a hash") from None
    return found


async def _number_of(node: Node, tag: str) -> int | None:
    header = await node.client.call("eth_getBlockByNumber", [tag, False])
    if header is None:
        return None
    try:
        return int(header["number"], 16)
    except (TypeError, KeyError, ValueError):
        raise malformed(node.shown_url, "eth_getBlockByNumber", f"a {tag} block without a number") from None


async def _gathered(calls: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Return the results of ``calls``, an :class:`AmpError` in the place of one that failed.

    The first result starts a short time of grace; calls that take longer count as ``TimeoutError``.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        pending = set(tasks)
        while pending and not any(_has_result(task) for task in tasks):
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if pending:
            await asyncio.wait(pending, timeout=_GRACE_SECONDS)
    finally:
        late = [task for task in tasks if not task.done()]
        await cancel_all(tasks)
    return [TimeoutError() if task in late else _outcome(task) for task in tasks]


def _has_result(task: asyncio.Future[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _outcome(task: asyncio.Future[Any]) -> Any:
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, AmpError):
        return error
    raise error


def _now() -> float:
    return asyncio.get_running_loop().time()
