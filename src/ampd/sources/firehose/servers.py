"""The servers of a network: which is asked next, and how long to wait after a fault."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from ampd.chain.networks import CHAIN_IDS
from ampd.errors import AmpError, ErrorCode
from ampd.sources.cooldowns import CooldownStore, SharedCooldowns
from ampd.sources.firehose.client import FirehoseClient
from ampd.sources.firehose.endpoint import Endpoint
from ampd.sources.firehose.faults import FirehoseFault, resting

_log = structlog.get_logger(__name__)

_REMEMBERED_DISTRUSTS: Final = 64


@dataclass(frozen=True)
class Patience:
    """How often in a row a server may fail without sending a block, and how long to wait before the next try: so many
    seconds, twice as many each time, up to ``most_seconds``. A server that wants to be left alone for longer than
    ``longest_rest_seconds`` is not waited for.
    """

    tries: int = 8
    first_seconds: float = 0.5
    most_seconds: float = 30.0
    longest_rest_seconds: float = 60.0

    def pause(self, failures: int) -> float:
        """Return the seconds after so many failures; of several clients not all come back at once."""
        return min(self.first_seconds * 2.0 ** (failures - 1), self.most_seconds) * random.uniform(0.5, 1.0)  # noqa: S311


class Retries:
    """Counts the failures of one piece of work."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures = 0

    def succeeded(self) -> None:
        """Begin to count anew."""
        self._failures = 0

    async def after(self, fault: AmpError) -> None:
        """Wait before the next try.

        :raises AmpError: ``fault``, when it cannot be mended or there were enough tries.
        """
        self._failures += 1
        if not fault.recoverable or self._failures >= self._patience.tries:
            raise fault
        pause = self._patience.pause(self._failures)
        _log.warning("firehose.retry", failures=self._failures, error=fault.message, pause_seconds=round(pause, 2))
        await asyncio.sleep(pause)


class Servers:
    """The servers of a network, which share the load and stand in for each other. ``cooldowns`` is where workers tell
    each other of servers that want to be left alone.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        patience: Patience,
        *,
        network: str = "",
        cooldowns: CooldownStore | None = None,
    ) -> None:
        self.clients = [FirehoseClient(endpoint, network=network) for endpoint in endpoints]
        self.patience = patience
        self._distrusted: deque[tuple[int, int, str]] = deque(maxlen=_REMEMBERED_DISTRUSTS)
        self._shared = SharedCooldowns(cooldowns, [endpoint.key for endpoint in endpoints], self._hear)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._shared.close()
        for client in self.clients:
            await client.close()

    def _hear(self, key: str, seconds: float) -> None:
        for client in self.clients:
            if client.endpoint.key == key:
                client.rest(seconds)

    def distrust(self, start_block: int, end_block: int, endpoints: Sequence[str]) -> None:
        """Prefer other servers for these blocks."""
        for endpoint in endpoints:
            _log.warning("node.distrusted", endpoint=endpoint, start_block=start_block, end_block=end_block)
            self._distrusted.append((start_block, end_block, endpoint))

    def failed(self, client: FirehoseClient, fault: AmpError) -> None:
        """Take note of what a server did wrong, and leave it alone when it wants that; so do the other workers."""
        client.meter.failed(str(fault.code))
        if not isinstance(fault, FirehoseFault) or not fault.wants_rest:
            return
        client.slow_downs += 1
        client.meter.slowed_down()
        told = fault.pause_seconds
        pause = self.patience.pause(client.slow_downs) if told is None else told
        client.rest(pause)
        self._shared.tell(client.endpoint.key, pause, fault.message)
        _log.info("node.slowed_down", endpoint=client.endpoint.shown_url, pause_s=round(pause, 3), error=fault.message)

    def sent_wrong(self, fault: AmpError, endpoints: Sequence[str]) -> None:
        """Take note of blocks that were found to be wrong when they were decoded."""
        for client in self.clients:
            if client.endpoint.shown_url in endpoints:
                client.meter.failed(str(fault.code))

    def succeeded(self, client: FirehoseClient) -> None:
        """Take note of a good answer."""
        client.slow_downs = 0

    async def choose(self, start_block: int, end_block: int, *, failed: FirehoseClient | None = None) -> FirehoseClient:
        """Return the server to be asked for some blocks: not one that wants to be left alone, nor the one that has just
        failed, nor one that was wrong about them, if there is another; of those the one with the fewest streams. When
        all want to be left alone the first of them is waited for.

        :raises FirehoseFault: NODE_RATE_LIMITED when that would take too long.
        """
        self._shared.read_soon()
        doubtful = {url for start, end, url in self._distrusted if start <= end_block and start_block <= end}
        while True:
            client = min(
                self.clients,
                key=lambda each: (
                    each.rest_seconds,
                    each is failed,
                    each.endpoint.shown_url in doubtful,
                    each.streams,
                ),
            )
            seconds = client.rest_seconds
            if seconds <= 0:
                return client
            if seconds > self.patience.longest_rest_seconds:
                raise resting(client.endpoint.shown_url, seconds)
            await asyncio.sleep(seconds)

    async def check_chain(self, network: str, chain_id: int) -> None:
        """Ask the servers which chain they serve; leave out those that do not answer or rest, while one does.

        :raises AmpError: NETWORK_MISMATCH; what is wrong with the last server when none answers.
        """
        await self._shared.read()
        faults: list[FirehoseFault] = []
        asked = [client for client in self.clients if client.rest_seconds <= 0] or [await self.choose(0, 0)]
        for client in asked:
            try:
                names = await client.chain_names()
            except FirehoseFault as fault:
                self.failed(client, fault)
                _log.warning("firehose.server_unusable", endpoint=client.endpoint.shown_url, error=fault.message)
                faults.append(fault)
                continue
            known = {CHAIN_IDS[name] for name in names if name in CHAIN_IDS}
            if known and chain_id not in known:
                raise AmpError(
                    ErrorCode.NETWORK_MISMATCH,
                    f"the Firehose server at {client.endpoint.shown_url} serves {names[0]!r}, but network {network!r} "
                    f"is chain {chain_id}: give the provider the URL of the right chain",
                )
        if len(faults) == len(asked):
            raise faults[-1]
