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
from ampd.sources.firehose.client import FirehoseClient
from ampd.sources.firehose.endpoint import Endpoint
from ampd.sources.firehose.faults import FirehoseFault

_log = structlog.get_logger(__name__)

_REMEMBERED_DISTRUSTS: Final = 64


@dataclass(frozen=True)
class Patience:
    """How often in a row a server may fail without sending a block, and how long to wait before the next try: so many
    seconds, twice as many each time, up to ``most_seconds``.
    """

    tries: int = 8
    first_seconds: float = 0.5
    most_seconds: float = 30.0

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
    """The servers of a network, which share the load and stand in for each other."""

    def __init__(self, endpoints: Sequence[Endpoint], patience: Patience) -> None:
        self.clients = [FirehoseClient(endpoint) for endpoint in endpoints]
        self.patience = patience
        self._distrusted: deque[tuple[int, int, str]] = deque(maxlen=_REMEMBERED_DISTRUSTS)

    async def close(self) -> None:
        """Let go of all connections."""
        for client in self.clients:
            await client.close()

    def distrust(self, start_block: int, end_block: int, endpoints: Sequence[str]) -> None:
        """Prefer other servers for these blocks."""
        for endpoint in endpoints:
            _log.warning("node.distrusted", endpoint=endpoint, start_block=start_block, end_block=end_block)
            self._distrusted.append((start_block, end_block, endpoint))

    def choose(self, start_block: int, end_block: int, *, failed: FirehoseClient | None = None) -> FirehoseClient:
        """Return the server to be asked for some blocks: not the one that has just failed nor one that was wrong about
        them, if there is another; of those the one with the fewest streams.
        """
        doubtful = {url for start, end, url in self._distrusted if start <= end_block and start_block <= end}
        return min(
            self.clients,
            key=lambda client: (client is failed, client.endpoint.shown_url in doubtful, client.streams),
        )

    async def check_chain(self, network: str, chain_id: int) -> None:
        """Ask the servers which chain they serve; leave out those that do not answer, while one does.

        :raises AmpError: NETWORK_MISMATCH; what is wrong with the last server when none answers.
        """
        faults: list[FirehoseFault] = []
        for client in self.clients:
            try:
                names = await client.chain_names()
            except FirehoseFault as fault:
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
        if len(faults) == len(self.clients):
            raise faults[-1]
