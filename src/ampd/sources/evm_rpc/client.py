"""Requests to one Ethereum JSON-RPC endpoint, at the pace that it bears.

A call gives the body of the answer as bytes: large answers are decoded elsewhere, by Arrow. What a node can do wrong
becomes a :class:`ampd.sources.evm_rpc.faults.NodeFault`; passing faults and rate limits are waited out here, a few
times.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from ampd.sources.evm_rpc import faults
from ampd.sources.evm_rpc.classify import Reaction
from ampd.sources.evm_rpc.endpoint import Endpoint
from ampd.sources.evm_rpc.faults import NodeFault
from ampd.sources.evm_rpc.limits import Aimd, ByteGate, Slots, TokenBucket
from ampd.sources.evm_rpc.transport import Call, Reply, Transport, TransportError
from ampd.telemetry.node_metrics import meter_of_endpoint

_log = structlog.get_logger(__name__)

# A null, an error or a page of HTML instead of a block is small: only answers up to this size are looked into here.
_SMALL_ANSWER_BYTES: Final = 4096
_MOST_BYTES_UNDER_WAY: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Patience:
    """How often and how long faults are waited out (seconds).

    A passing fault has ``tries``, or ``shared_tries`` where another node can stand in; a rate limit has ``slow_tries``.
    When all nodes have failed they are asked again, ``rounds`` times altogether. Pauses double from ``first_pause`` to
    ``longest_pause``. A node that wants to be left alone for longer than ``longest_wait`` is not waited for. A block
    that was announced and is not there yet is waited for ``tip_wait``. An answer that is not the chain's is asked for
    ``answer_tries`` times, with pauses that double from ``answer_pause``. ``bench`` is the first time for which a bad
    node is left out.
    """

    tries: int = 5
    shared_tries: int = 2
    slow_tries: int = 8
    rounds: int = 3
    first_pause: float = 0.25
    longest_pause: float = 30.0
    longest_wait: float = 60.0
    tip_wait: float = 60.0
    answer_tries: int = 4
    answer_pause: float = 0.5
    bench: float = 2.0

    def pause(self, attempt: int) -> float:
        """Return the pause after the try number ``attempt`` (from 1), with some chance in it."""
        return float(min(self.first_pause * 2 ** (attempt - 1), self.longest_pause)) * random.uniform(0.8, 1.2)  # noqa: S311


GoOn = Callable[[], bool]


def always() -> bool:
    """Say that every request is wanted."""
    return True


class NotWantedError(Exception):
    """When a request's turn had come, nobody wanted it any more; it was not sent."""


class RpcClient:
    """Calls methods of one endpoint. ``on_cooldown`` is told seconds and reason of each pause of the endpoint;
    ``network`` is the name of its chain, for metrics.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        patience: Patience | None = None,
        transport: Transport | None = None,
        on_cooldown: Callable[[float, str], None] | None = None,
        has_stand_ins: bool = False,
        network: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.meter = meter_of_endpoint(endpoint.shown_url, network)
        self.patience = patience or Patience()
        self.unsupported: set[str] = set()
        self.transport = transport or endpoint.open_transport()
        self.concurrency = Aimd(endpoint.concurrency)
        self.batch = Aimd(endpoint.batch_size if self.transport.takes_batches else 1, by_one=True)
        self.slots = Slots(self.concurrency)
        self._on_cooldown = on_cooldown
        self._tries = self.patience.shared_tries if has_stand_ins else self.patience.tries
        self._gate = ByteGate(_MOST_BYTES_UNDER_WAY)
        self._requests = _bucket(endpoint.requests_per_second)
        self._units = _bucket(endpoint.units_per_second)
        self._rests_until = 0.0
        self._slowed_at = float("-inf")
        self._slow_downs = 0

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def call(self, method: str, parameters: list[Any]) -> Any:
        """Return the result of a call whose answer is small.

        :raises NodeFault: after some tries.
        """
        return json.loads(await self.call_raw(Call(1, method, parameters)))["result"]

    async def call_raw(self, call: Call, *, go_on: GoOn = always) -> bytes:
        """Return the body of the answer; it is a JSON object with a ``result`` (perhaps null) as far as a look at its
        size tells. ``go_on`` is asked when the call's turn has come.

        :raises NodeFault: after some tries.
        :raises NotWantedError: when ``go_on`` says no.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                reply, sent_at = await self.exchange([call], as_batch=False, go_on=go_on)
                try:
                    self.look_into(call.method, reply.body)
                except NodeFault as fault:
                    self.adapt(fault, sent_at)
                    raise
            except NodeFault as fault:
                await self.wait_out(fault, attempt)
            else:
                self.succeeded()
                return reply.body

    @property
    def rest_seconds(self) -> float:
        """For how long the endpoint is still to be left alone."""
        return max(0.0, self._rests_until - _now())

    def rest(self, seconds: float) -> None:
        """Leave the endpoint alone for ``seconds`` from now; a rest that ends later stays."""
        self._rests_until = max(self._rests_until, _now() + seconds)

    def look_into(self, method: str, body: bytes) -> None:
        """Find errors among answers that are too small, or begin too strangely, for a block.

        :raises NodeFault: with what was found.
        """
        if len(body) <= _SMALL_ANSWER_BYTES or body.lstrip()[:1] != b"{":
            faults.check_answer(self.endpoint.shown_url, method, body)

    async def exchange(self, calls: Sequence[Call], *, as_batch: bool, go_on: GoOn = always) -> tuple[Reply, float]:
        """Send one request when its turn has come; return an answer whose HTTP status is 200, and when it was asked.

        :raises NodeFault: what went wrong; the endpoint's pace is adapted already.
        :raises NotWantedError: when ``go_on`` says no by then.
        """
        while True:
            await self._wait_for_rest()
            async with self.slots.one():
                # Whoever got its slot while the endpoint was being slowed down waits again, without the slot.
                if self.rest_seconds > 0:
                    continue
                if not go_on():
                    raise NotWantedError
                await self._wait_for_turn(calls)
                async with self._gate.room():
                    sent_at = _now()
                    try:
                        return await self._sent(calls, as_batch=as_batch), sent_at
                    except NodeFault as fault:
                        self.adapt(fault, sent_at)
                        raise

    async def _sent(self, calls: Sequence[Call], *, as_batch: bool) -> Reply:
        started = time.perf_counter()
        try:
            reply = await self.transport.exchange(calls, as_batch=as_batch)
        except TransportError as error:
            self.meter.not_answered(calls[0].method, time.perf_counter() - started)
            raise faults.unreachable(self.endpoint.shown_url, str(error)) from None
        sizes = reply.request_bytes, len(reply.body)
        self.meter.answered(calls[0].method, len(calls), sizes, time.perf_counter() - started)
        self._gate.learn(len(reply.body))
        if reply.status != 200:
            raise faults.http_fault(self.endpoint.shown_url, calls[0].method, reply)
        return reply

    async def _wait_for_rest(self) -> None:
        while (seconds := self.rest_seconds) > 0:
            if seconds > self.patience.longest_wait:
                raise faults.resting(self.endpoint.shown_url, seconds)
            await asyncio.sleep(seconds)

    async def _wait_for_turn(self, calls: Sequence[Call]) -> None:
        """Wait until the provider's rate limits let the calls through."""
        wait = 0.0
        if self._requests is not None:
            wait = self._requests.reserve(1, _now())
        if self._units is not None:
            wait = max(wait, self._units.reserve(sum(self.endpoint.units_of(call.method) for call in calls), _now()))
        if wait > 0:
            await asyncio.sleep(wait)

    def succeeded(self) -> None:
        """Take note of a good answer: more may be asked at a time."""
        self._slow_downs = 0
        self.concurrency.grow()
        self.slots.wake()

    def adapt(self, fault: NodeFault, sent_at: float) -> None:
        """Slow down, or remember that a method is not there, as the fault of a request sent at ``sent_at`` says."""
        self.meter.failed(str(fault.code))
        if fault.verdict.reaction is Reaction.UNSUPPORTED and fault.method:
            self.unsupported.add(fault.method)
        if fault.verdict.reaction is not Reaction.SLOW_DOWN:
            return
        # Requests that were under way when the endpoint was slowed down are no news; what they ask for still counts.
        is_news = sent_at >= self._slowed_at
        if is_news:
            self._slowed_at = _now()
            self.meter.slowed_down()
            self._slow_downs += 1
            self.concurrency.shrink()
            self.batch.shrink()
        pause = fault.verdict.pause_seconds
        if pause is None:
            pause = self.patience.pause(self._slow_downs) if is_news else 0.0
        if fault.verdict.allowed_per_second is not None:
            self._slow_to(fault.verdict.allowed_per_second)
        if pause <= 0:
            return
        self.rest(pause)
        if self._on_cooldown is not None:
            self._on_cooldown(pause, fault.message)
        _log.info(
            "node.slowed_down",
            endpoint=self.endpoint.shown_url,
            pause_s=round(pause, 3),
            concurrency=self.concurrency.value,
            error=fault.message,
        )

    def _slow_to(self, per_second: float) -> None:
        if self._requests is None:
            self._requests = TokenBucket(per_second, now=_now())
        self._requests.slow_to(per_second)

    async def wait_out(self, fault: NodeFault, attempt: int) -> None:
        """Wait before the next try, as the fault wants it.

        :raises NodeFault: ``fault`` itself, when the same request to the same endpoint will not help (any more).
        """
        verdict = fault.verdict
        if verdict.reaction is Reaction.RETRY_SAME and attempt < self._tries:
            pause = self.patience.pause(attempt)
            _log.info("node.retry", endpoint=self.endpoint.shown_url, error=fault.message, pause_s=round(pause, 3))
            await asyncio.sleep(pause)
            return
        may_wait = verdict.reaction is Reaction.SLOW_DOWN and not verdict.lasting
        if not may_wait or attempt >= self.patience.slow_tries or self.rest_seconds > self.patience.longest_wait:
            raise fault
        # The rest itself is waited for by whichever request comes next.


def _bucket(per_second: float | None) -> TokenBucket | None:
    return None if per_second is None else TokenBucket(per_second, now=_now())


def _now() -> float:
    return asyncio.get_running_loop().time()
