"""Secrets that a test puts where a secret can be, and looks for wherever one must not come out."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote_to_bytes

_SHORTEST = 16


class Seeded:
    """Known secrets, each with the place where it was put."""

    def __init__(self) -> None:
        self._places: dict[bytes, str] = {}

    def new(self, place: str) -> str:
        """Return a secret that is put into ``place``; no two are alike, and every run has the same ones."""
        secret = f"Seed{len(self._places):03d}x{hash_of(place)}"
        self.add(place, secret)
        return secret

    def add(self, place: str, secret: str) -> None:
        """Look for ``secret`` from now on, and for its base64."""
        assert len(secret) >= _SHORTEST, "too short: it could stand somewhere by chance"
        raw = secret.encode()
        # The digits of base64 depend on what stands before: those that do not, of each of the three alignments.
        aligned = [b64encode(b"\0" * shift + raw)[4 * bool(shift) : -4] for shift in range(3)]
        for form in (raw, *aligned):
            self._places[form] = place

    def found_in(self, content: bytes) -> set[str]:
        """Return the places of the secrets that stand in ``content``, also in the form that URLs give them."""
        texts = (content, unquote_to_bytes(content)) if b"%" in content else (content,)
        return {place for secret, place in self._places.items() if any(secret in text for text in texts)}


def hash_of(text: str) -> str:
    """Return hexadecimal digits that follow from ``text``."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"
