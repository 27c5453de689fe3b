"""Which addresses a webhook may reach. Pure.

Whoever sets a webhook makes the controller send requests: to the inside of its own network, if nothing stood in the
way. So only addresses of the public internet are reached, and those of networks that the configuration allows.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Written out: what `ipaddress` calls private or global differs between versions of Python, and leaves gaps.
_REFUSED_V4: Final = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "a private network",
    "100.64.0.0/10": "a carrier's network",
    "127.0.0.0/8": "this machine",
    "168.63.129.16/32": "a cloud's metadata",
    "169.254.0.0/16": "link-local, or a cloud's metadata",
    "172.16.0.0/12": "a private network",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "a relay",
    "192.168.0.0/16": "a private network",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
# Of IPv6 only what is given out as global unicast is public, without these.
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_REFUSED_V6: Final = {
    "2001::/23": "reserved, or a tunnel",
    "2001:db8::/32": "for documentation",
    "2002::/16": "a tunnel",
    "3fff::/20": "for documentation",
}
_REFUSED: Final = tuple((ip_network(text), what) for text, what in (_REFUSED_V4 | _REFUSED_V6).items())
# IPv4 inside of IPv6: the last four bytes are what is reached.
_V4_INSIDE: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


@dataclass(frozen=True)
class AddressRules:
    """What may be reached beside the public internet: the ``allowed`` networks, none unless configured."""

    allowed: tuple[Network, ...] = field(default=())

    @classmethod
    def of(cls, networks: Iterable[str]) -> AddressRules:
        """Return the rules that allow ``networks``, such as ``10.1.0.0/16``.

        :raises ValueError: for a text that is no network.
        """
        return cls(tuple(ip_network(text) for text in networks))

    def allows(self, address: Address) -> bool:
        """Tell whether the configuration names a network of ``address``."""
        inner = reached_by(address)
        return any(inner in network or address in network for network in self.allowed)

    def refusal(self, address: Address) -> str | None:
        """Return why ``address`` must not be reached; None when it may."""
        if self.allows(address):
            return None
        inner = reached_by(address)
        found = next((what for network, what in _REFUSED if inner in network), None)
        if found is None and isinstance(inner, IPv6Address) and inner not in _PUBLIC_V6:
            return "not of the public internet"
        return found


def reached_by(address: Address) -> Address:
    """Return the IPv4 address that is reached by an IPv6 address which only wraps it; others as they are."""
    if isinstance(address, IPv6Address):
        if any(address in network for network in _V4_INSIDE):
            return IPv4Address(int(address) & 0xFFFF_FFFF)
        if address.scope_id is not None:
            return IPv6Address(int(address))
    return address


def literal_address(host: str) -> Address | None:
    """Return the address that ``host`` is, in any form that a system takes for one (also ``127.1`` and
    ``2130706433``); None for a name.
    """
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
