"""By which names this machine's own address may be called (DNS rebinding)."""

from __future__ import annotations

import socket

import pytest

from ampd.admin_api.gate.origins import is_foreign_name

OWN = [
    "127.0.0.1",
    "127.0.0.1:1610",
    "[::1]:1610",
    "192.168.1.7:1610",
    "localhost",
    "LocalHost:1610",
    "localhost.",
    "ampd.localhost:1610",
    socket.gethostname(),
    f"{socket.gethostname()}:1610",
]
FOREIGN = [
    "evil.example",
    "evil.example:1610",
    "localhost.evil.example",
    "127.0.0.1.evil.example:1610",
    "notlocalhost",
    "127.0.0.1@evil.example",
    "evil.example#127.0.0.1",
    "[::1",
    "",
]


@pytest.mark.parametrize("server", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
@pytest.mark.parametrize("host", OWN)
def test_addresses_and_own_names_are_known(host: str, server: str) -> None:
    assert not is_foreign_name(host, server)


@pytest.mark.parametrize("server", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("host", FOREIGN)
def test_all_other_names_are_somebody_elses(host: str, server: str) -> None:
    assert is_foreign_name(host, server)


@pytest.mark.parametrize("server", ["10.0.0.5", "2001:db8::1", "controller"])
def test_an_address_that_others_reach_has_any_name(server: str) -> None:
    """Of containers and other machines nobody here knows all names; an open API there was asked for (--insecure)."""
    assert not is_foreign_name("controller:1610", server)
