"""What tokens and sessions look like, and what of them is kept.

``amp_`` + 12 hex digits (the prefix, by which it is found and recognised) + ``_`` + 43 characters that nobody can guess
(256 bits). With so much chance in it a plain SHA-256 is enough: there is nothing to try out.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest
from typing import Final

TOKEN_PATTERN: Final = r"amp_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"  # noqa: S105 - what tokens look like
_TOKEN: Final = re.compile(TOKEN_PATTERN)
_PREFIX_LENGTH: Final = len("amp_") + 12
# Of a session, in a cookie: nothing of it may be shown. Logs hide what looks like one.
_SESSION: Final = re.compile(r"ampsession_[A-Za-z0-9_-]{43}")
_CSRF: Final = b"X-CSRF-Token"


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


def new_session() -> str:
    """Return a session's secret that nobody has seen (256 bits)."""
    return f"ampsession_{secrets.token_urlsafe(32)}"


def is_session(secret: str) -> bool:
    """Tell whether ``secret`` looks like a session's."""
    return _SESSION.fullmatch(secret) is not None


def csrf_token_of(secret: str) -> str:
    """Return what pages of a session show beside its cookie: it follows from the secret, and tells nothing of it."""
    digest = hmac.digest(secret.encode(), _CSRF, "sha256")
    return urlsafe_b64encode(digest).decode().rstrip("=")


def is_csrf_token(shown: str, expected: str) -> bool:
    """Tell, in a time that says nothing, whether ``shown`` is the one that is expected."""
    return compare_digest(shown.encode(), expected.encode())
