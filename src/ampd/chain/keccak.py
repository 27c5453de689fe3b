"""keccak-256, the hash of Ethereum. Not NIST's SHA-3, which pads differently."""

from __future__ import annotations

from sha3 import keccak_256


def keccak256(data: bytes | memoryview) -> bytes:
    """Return the 32 bytes of keccak-256 over ``data``."""
    digest: bytes = keccak_256(data).digest()
    return digest
