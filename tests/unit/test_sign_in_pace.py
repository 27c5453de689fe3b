"""How often each host may try to sign in."""

from __future__ import annotations

from ampd.admin_api.gate.pace import SignInPace
from ampd.errors import AmpError, ErrorCode


def test_attempts_are_counted_by_host_and_few_hosts_are_remembered() -> None:
    now = [0.0]
    pace = SignInPace(2, lambda: now[0])

    def is_let_in(address: str) -> bool:
        try:
            pace.take(address)
        except AmpError as error:
            assert error.code is ErrorCode.RATE_LIMITED
            return False
        return True

    assert [is_let_in("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert not is_let_in("::ffff:192.0.2.1")
    assert is_let_in("192.0.2.2")
    # Whoever has one address of an IPv6 network has all of them.
    assert [is_let_in(f"2001:db8::{n}") for n in range(3)] == [True, True, False]
    assert is_let_in("2001:db8:0:1::1")
    now[0] = 30.0
    assert [is_let_in("192.0.2.1") for _ in range(2)] == [True, False]
    for n in range(10_001):
        pace.take(f"host-{n}")
    assert len(pace._buckets._left) == 10_000
    assert all(SignInPace(0).take("192.0.2.1") is None for _ in range(1000))
