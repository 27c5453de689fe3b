"""What a token looks like, and what of it is kept.

``amp_`` + 12 hex digits (the prefix, by which it is found and recognised) + ``_`` + 43 characters that nobody can guess
(256 bits). With so much chance in it a plain SHA-256 is enough: there is nothing to try out.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from hmac import compare_digest
from typing import Final

TOKEN_PATTERN: Final = r"amp_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"  # noqa: S105 - what tokens look like
_TOKEN: Final = re.compile(TOKEN_PATTERN)
_PREFIX_LENGTH: Final = len("amp_") + 12


def new_token() -> str:
    """Return a token that nobody has seen."""
    return f"amp_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def prefix_of(token: str) -> str | None:
    """Return the part of a token that may be shown; None when it is no token."""
    return token[:_PREFIX_LENGTH] if _TOKEN.fullmatch(token) else None


def hash_of(token: str) -> bytes:
    """Return what is stored of a token."""
    return sha256(token.encode()).digest()


def is_token_of(token: str, stored_hash: bytes) -> bool:
    """Tell, in a time that says nothing, whether ``stored_hash`` is that of ``token``."""
    return compare_digest(hash_of(token), stored_hash)
