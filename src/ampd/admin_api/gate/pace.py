"""How much each may ask: buckets that fill steadily. Each controller counts for itself, in memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address, ip_network
from time import monotonic
from typing import Final

from ampd.errors import AmpError, ErrorCode

# So much may come at once: what the rate allows in so many seconds.
_BURST_SECONDS: Final = 10.0
# Whoever has not come for longest is forgotten beyond that; what is kept must not grow with those who come.
_MOST_KEPT: Final = 10_000
# An IPv6 host has at least all addresses of such a network.
_IPV6_HOST_BITS: Final = 64


class _Buckets:
    """What is left to each: a bucket holds ``most``. ``per_minute`` 0: as much as they like."""

    def __init__(self, per_minute: int, most: float, clock: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._most = max(1.0, most)
        self._clock = clock
        self._left: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable) -> float:
        """Take one; return 0, or after how many seconds there is one again."""
        if not self._per_second:
            return 0.0
        now = self._clock()
        left, at = self._left.pop(key, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_second)
        # Put in anew, so that those come first who have not come for longest.
        self._left[key] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > _MOST_KEPT:
            del self._left[next(iter(self._left))]
        return 0.0 if left >= 1 else (1 - left) / self._per_second


class RequestPace:
    """How many requests each token may make, itself and by its sessions. ``per_minute`` 0: as many as it likes."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic) -> None:
        self._per_minute = per_minute
        self._buckets = _Buckets(per_minute, per_minute / 60 * _BURST_SECONDS, clock)

    def take(self, token_id: int) -> None:
        """Count a request.

        :raises AmpError: RATE_LIMITED.
        """
        seconds = self._buckets.take(token_id)
        if seconds:
            raise AmpError(
                ErrorCode.RATE_LIMITED,
                f"this token makes more than {self._per_minute:g} requests a minute; go on after the seconds that "
                "the header Retry-After tells, or raise admin_api.requests_per_minute",
                retry_after_seconds=seconds,
            )


class SignInPace:
    """How many attempts to sign in may come from each address, all of a minute's at once. ``per_minute`` 0: as many
    as come.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic) -> None:
        self._per_minute = per_minute
        self._buckets = _Buckets(per_minute, per_minute, clock)

    def take(self, address: str) -> None:
        """Count an attempt.

        :raises AmpError: RATE_LIMITED.
        """
        seconds = self._buckets.take(_host_of(address))
        if seconds:
            raise AmpError(
                ErrorCode.RATE_LIMITED,
                f"more than {self._per_minute:g} attempts to sign in within a minute came from this address; try again "
                "after the seconds that the header Retry-After tells, or raise admin_api.sign_ins_per_minute",
                retry_after_seconds=seconds,
            )


def _host_of(address: str) -> str:
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped or ip_network((int(ip), _IPV6_HOST_BITS), strict=False))
