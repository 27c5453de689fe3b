"""An endpoint: where a provider's node is, and how its settings want it to be used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from ampd.sources.evm_rpc.streams import IpcTransport, WebSocketTransport
from ampd.sources.evm_rpc.transport import HttpTransport, Transport, shown_url

# Compute units per call, as hosted providers weigh methods; a provider's `compute_units` replaces single ones.
COMPUTE_UNITS: Final = {"eth_chainId": 1, "eth_blockNumber": 10}
OTHER_COMPUTE_UNITS: Final = 20


@dataclass(frozen=True)
class Endpoint:
    """An endpoint and how to use it; ``url`` and ``headers`` may hold secrets, ``shown_url`` never does.

    ``concurrency`` is the most requests at a time; ``batch_size`` the most calls of a JSON-RPC batch (1: no batches).
    ``requests_per_second`` counts requests (a batch is one), ``units_per_second`` compute units of every call.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    concurrency: int = 16
    timeout_seconds: float = 30.0
    batch_size: int = 1
    requests_per_second: float | None = None
    units_per_second: float | None = None
    compute_units: Mapping[str, int] = field(default_factory=dict)
    receipts_per_transaction: bool = False

    @property
    def shown_url(self) -> str:
        """The URL without account, path and parameters: providers put keys into all of them."""
        return shown_url(self.url)

    @property
    def key(self) -> str:
        """A name of the account behind the endpoint (64 hex digits): the hash of everything that is secret about it."""
        identity = json.dumps([self.url, sorted(self.headers.items())])
        return hashlib.sha256(b"ampd endpoint:" + identity.encode()).hexdigest()

    def units_of(self, method: str) -> int:
        """Return what a call of ``method`` costs."""
        return self.compute_units.get(method, COMPUTE_UNITS.get(method, OTHER_COMPUTE_UNITS))

    def open_transport(self) -> Transport:
        """Return the transport for the URL's scheme."""
        parts = urlsplit(self.url)
        if parts.scheme == "ipc":
            return IpcTransport(unquote(parts.netloc + parts.path), timeout_seconds=self.timeout_seconds)
        if parts.scheme in ("ws", "wss"):
            return WebSocketTransport(self.url, self.headers, timeout_seconds=self.timeout_seconds)
        return HttpTransport(self.url, self.headers, connections=self.concurrency, timeout_seconds=self.timeout_seconds)
