"""Many calls to one endpoint: one request each, or in JSON-RPC batches whose answers are matched by id."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ampd.sources.evm_rpc import faults
from ampd.sources.evm_rpc.classify import Reaction
from ampd.sources.evm_rpc.client import GoOn, NotWantedError, RpcClient, always
from ampd.sources.evm_rpc.faults import NodeFault
from ampd.sources.evm_rpc.json_pieces import BrokenJsonError, answer_id, elements_of
from ampd.sources.evm_rpc.transport import Call
from ampd.tasks import cancel_all

Store = Callable[[Call, bytes], None]

# Cutting a larger answer into its parts is left to another thread.
_MOST_BYTES_CUT_HERE: Final = 64 * 1024


async def fetch(client: RpcClient, calls: Sequence[Call], store: Store, *, go_on: GoOn = always) -> None:
    """Make all ``calls``, whose ids must differ; ``store`` gets each answer as soon as it is there.

    What is stored stays stored when another call fails. Calls begin in their order, and no further one when ``go_on``
    says no.

    :raises NodeFault: the first fault that waiting and trying again did not mend; its ``call_id`` says of which call.
    """
    if client.batch.value > 1 and len(calls) > 1:
        await _in_batches(client, calls, store, go_on)
        return

    async def one(call: Call) -> None:
        try:
            body = await client.call_raw(call, go_on=go_on)
        except NotWantedError:
            return
        except NodeFault as fault:
            fault.call_id = call.id
            raise
        store(call, body)

    await _all([asyncio.ensure_future(one(call)) for call in calls])


async def _all(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Await all; the first failure cancels the others."""
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        await cancel_all(tasks)
        raise


async def _in_batches(client: RpcClient, calls: Sequence[Call], store: Store, go_on: GoOn) -> None:
    work = _Batches(client, deque(calls), store, go_on)
    workers = min(client.concurrency.ceiling, -(-len(calls) // client.batch.value))
    await _all([asyncio.ensure_future(work.run()) for _ in range(workers)])


@dataclass
class _Batches:
    """Calls that are still to be made; several workers take groups from the front."""

    client: RpcClient
    pending: deque[Call]
    store: Store
    go_on: GoOn
    tries: Counter[int] = field(default_factory=Counter)

    async def run(self) -> None:
        while self.pending and self.go_on():
            size = min(self.client.batch.value, len(self.pending))
            group = [self.pending.popleft() for _ in range(size)]
            try:
                failed = await self._send(group)
            except NotWantedError:
                return
            # Back to the front, so that blocks still come in their order.
            self.pending.extendleft(reversed([call for call, _ in failed]))
            await self._wait_out(failed, len(group))

    async def _wait_out(self, failed: Sequence[tuple[Call, NodeFault]], size: int) -> None:
        """Adapt to the worst fault of a batch, and wait before its calls are made again.

        :raises NodeFault: when some call has had its tries, or will never succeed here.
        """
        if not failed:
            return
        for call, _ in failed:
            self.tries[call.id] += 1
        call, fault = max(failed, key=lambda one: _SEVERITY[one[1].verdict.reaction])
        # What cannot be asked for together may be asked for in smaller groups; so may what nobody understands.
        if _is_of_the_whole(failed, size) and fault.verdict.reaction in (Reaction.SHRINK, Reaction.ROTATE):
            if self.client.batch.shrink(fault.verdict.suggested):
                return
            if size > 1:  # shrunk meanwhile, by another worker
                return
        if fault.verdict.reaction is Reaction.SHRINK and size > 1:
            self.client.batch.shrink(fault.verdict.suggested)
            return
        fault.call_id = call.id
        await self.client.wait_out(fault, self.tries[call.id])

    async def _send(self, group: Sequence[Call]) -> list[tuple[Call, NodeFault]]:
        """Send a batch, store what succeeded, and return what did not."""
        try:
            reply, sent_at = await self.client.exchange(group, as_batch=len(group) > 1, go_on=self.go_on)
            answers = await self._answers(group, reply.body)
        except NodeFault as fault:
            return [(call, fault) for call in group]
        failed: list[tuple[Call, NodeFault]] = []
        for call in group:
            try:
                self._take(call, answers.get(call.id, []))
            except NodeFault as fault:
                failed.append((call, fault))
        for each in {id(fault): fault for _, fault in failed}.values():
            self.client.adapt(each, sent_at)
        if not failed:
            self.client.succeeded()
            self.client.batch.grow()
        return failed

    def _take(self, call: Call, answers: Sequence[bytes]) -> None:
        shown = self.client.endpoint.shown_url
        if not answers:
            raise faults.missing_in_batch(shown, call.method, "no answer")
        if any(answer != answers[0] for answer in answers[1:]):
            raise faults.missing_in_batch(shown, call.method, "two answers that differ")
        self.client.look_into(call.method, answers[0])
        self.store(call, answers[0])

    async def _answers(self, group: Sequence[Call], body: bytes) -> dict[int, list[bytes]]:
        """Return the answers of a batch by id; strangers among them are left out.

        :raises NodeFault: when the answer is not that to a batch.
        """
        shown, method = self.client.endpoint.shown_url, group[0].method
        if len(group) == 1 and body.lstrip()[:1] == b"{":
            return {group[0].id: [body]}
        if body.lstrip()[:1] == b"{":
            faults.check_answer(shown, method, body)
            raise faults.malformed(shown, method, "one answer to a batch of several calls")
        try:
            if len(body) <= _MOST_BYTES_CUT_HERE:
                return _by_id(body)
            return await asyncio.get_running_loop().run_in_executor(None, _by_id, body)
        except BrokenJsonError:
            raise faults.not_json(shown, method, body) from None


_SEVERITY: Final = {
    Reaction.RETRY_SAME: 0,
    Reaction.SLOW_DOWN: 1,
    Reaction.SHRINK: 2,
    Reaction.ROTATE: 3,
    Reaction.UNSUPPORTED: 4,
    Reaction.FATAL: 5,
}


def _is_of_the_whole(failed: Sequence[tuple[Call, NodeFault]], size: int) -> bool:
    return size > 1 and len(failed) == size and len({id(fault) for _, fault in failed}) == 1


def _by_id(body: bytes) -> dict[int, list[bytes]]:
    answers: dict[int, list[bytes]] = {}
    for element in elements_of(body):
        call_id = answer_id(element)
        if isinstance(call_id, int):
            answers.setdefault(call_id, []).append(element)
    return answers
