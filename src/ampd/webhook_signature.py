"""Keys and signatures of webhooks, by Standard Webhooks. Both ends use it: the controller signs, the client verifies.

A message is signed as ``id.timestamp.body`` with HMAC-SHA-256; the header ``webhook-signature`` holds ``v1,<base64>``,
one for each key, with spaces between. The key of a secret ``whsec_<base64>`` is what the base64 stands for; any other
secret is a text of somebody's own, and its UTF-8 bytes are the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
PREFIX: Final = "whsec_"
# How far the time of a message may lie from the receiver's.
TOLERANCE_SECONDS: Final = 300
_VERSION: Final = "v1"
_GENERATED_KEY_BYTES: Final = 32
_KEY_BYTES: Final = (16, 256)


def new_key() -> bytes:
    """Return a key that nobody can guess."""
    return secrets.token_bytes(_GENERATED_KEY_BYTES)


def key_of(secret: str) -> bytes:
    """Return the key that ``secret`` stands for.

    :raises ValueError: when it is none; the message does not repeat it.
    """
    if secret != secret.strip():
        raise ValueError("a secret has no spaces around it")
    if secret.startswith(PREFIX):
        encoded = secret.removeprefix(PREFIX)
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except binascii.Error:
            raise ValueError(f"a secret that begins with {PREFIX} goes on in base64") from None
    else:
        key = secret.encode()
    least, most = _KEY_BYTES
    if not least <= len(key) <= most:
        raise ValueError(f"the key of a secret has {least} to {most} bytes, this one has {len(key)}")
    return key


def secret_of(key: bytes) -> str:
    """Return ``key`` as the secret that every library for Standard Webhooks takes."""
    return PREFIX + base64.b64encode(key).decode()


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature: ``v1,<base64>``. ``timestamp``: whole seconds since 1970."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return f"{_VERSION},{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def signature_headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a message, with a signature by each of ``keys``."""
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(signature(key, message_id, timestamp, body) for key in keys),
    }


def verify_signature(
    headers: Mapping[str, str],
    body: bytes,
    key: bytes,
    *,
    now: float,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> None:
    """Return when a message is genuine and new.

    :raises ValueError: saying what is wrong with it; never what would be right.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, stamp, signatures = (given[name] for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER))
    except KeyError as missing:
        raise ValueError(f"the header {missing.args[0]} is missing") from None
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= len(str(2**63))):
        raise ValueError(f"the header {TIMESTAMP_HEADER} is no time")
    if abs(now - int(stamp)) > tolerance_seconds:
        raise ValueError(f"the message is of another time: more than {tolerance_seconds:g} seconds away")
    expected = signature(key, message_id, int(stamp), body).encode()
    found = [hmac.compare_digest(expected, each.encode()) for each in signatures.split(" ")]
    if not any(found):
        raise ValueError("no signature fits: another secret, or another body than was sent")
