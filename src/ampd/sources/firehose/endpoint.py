"""Where a Firehose server is, and how its settings want it to be used."""

from __future__ import annotations

import hashlib
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc

from ampd.sources.evm_rpc.transport import shown_url

# A block with all its calls and state changes has megabytes.
_MESSAGE_BYTES: Final = 100 * 1024 * 1024
_KEEPALIVE_MS: Final = 30_000


@dataclass(frozen=True)
class Endpoint:
    """A server; ``url`` (``https://`` with TLS, ``http://`` without) and ``token`` may hold secrets, ``shown_url``
    never does. ``timeout_seconds`` is the longest silence where blocks should come.
    """

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    timeout_seconds: float = 60.0

    @property
    def shown_url(self) -> str:
        """The URL without account, path and parameters."""
        return shown_url(self.url)

    @property
    def key(self) -> str:
        """A name of the account behind the server (64 hex digits): the hash of everything that is secret about it."""
        return hashlib.sha256(b"ampd firehose:" + json.dumps([self.url, self.token]).encode()).hexdigest()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with every call."""
        return () if self.token is None else (("authorization", f"bearer {self.token}"),)

    def open_channel(self) -> Any:
        """Return a channel that asks for compressed answers; it connects when it is used."""
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        target = f"{_bracketed(parts.hostname or '')}:{parts.port or (443 if secure else 80)}"
        options = [
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
            # Each source has its own connection: what one does wrong is not the others' trouble.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if secure:
            credentials = grpc.ssl_channel_credentials(_trusted_roots())
            return grpc.aio.secure_channel(target, credentials, options, grpc.Compression.Gzip)
        return grpc.aio.insecure_channel(target, options, grpc.Compression.Gzip)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _trusted_roots() -> bytes | None:
    """Return the certificates that this machine trusts (``SSL_CERT_FILE`` names others); None: those of grpc."""
    file = ssl.get_default_verify_paths().cafile
    return None if file is None else Path(file).read_bytes()
