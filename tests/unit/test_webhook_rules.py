"""The pure parts of webhooks: when, where to, and what."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampd.errors import AmpError, ErrorCode
from ampd.webhooks.addresses import AddressRules, literal_address
from ampd.webhooks.payload import EVENTS, body_of, payload
from ampd.webhooks.schedule import DAY, DELAYS, MOST_ATTEMPTS, delay_after, parse_retry_after
from ampd.webhooks.urls import checked_url

PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
INSIDE = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.1", "168.63.129.16"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1"),
    *("240.0.0.1", "255.255.255.255", "192.88.99.1", "203.0.113.7", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1"),
    *("::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2001:0:4136:e378::1"),
    *("fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "5f00::1"),
]


# --- when


def test_the_schedule_is_that_of_standard_webhooks_and_lasts_three_days() -> None:
    assert [delay_after(attempt, chance=0) for attempt in range(1, 10)] == list(DELAYS)
    assert list(DELAYS[:3]) == [5, 300, 1800]
    assert 3 * DAY < sum(DELAYS) < 4 * DAY
    assert delay_after(MOST_ATTEMPTS) is None


@given(attempt=st.integers(1, MOST_ATTEMPTS - 1), chance=st.floats(0, 1))
def test_chance_makes_a_delay_longer_by_a_fifth_at_most(attempt: int, chance: float) -> None:
    delay = delay_after(attempt, chance=chance)
    assert delay is not None
    assert DELAYS[attempt - 1] <= delay <= 1.2 * DELAYS[attempt - 1]


def test_a_receiver_may_ask_for_more_time_but_not_for_less_and_not_for_more_than_a_day() -> None:
    assert delay_after(1, retry_after=60, chance=0) == 60
    assert delay_after(3, retry_after=60, chance=0) == 1800
    assert delay_after(1, retry_after=1e9, chance=0) == DAY
    assert delay_after(MOST_ATTEMPTS, retry_after=60) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("999999999999999999999999", DAY),
        ("Wed, 04 Mar 2026 10:01:30 GMT", 90),
        ("Wed, 04 Mar 2026 09:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        ("Wed, 04 Mar 2026 10:01:30 -0000", 90),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_time(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, now=datetime(2026, 3, 4, 10, tzinfo=UTC).timestamp()) == seconds


# --- where to


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_of_the_public_internet_is_not_reached(address: str) -> None:
    assert AddressRules().refusal(ip_address(address)) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_reached(address: str) -> None:
    assert AddressRules().refusal(ip_address(address)) is None


def test_an_allowed_network_is_reached_also_by_an_address_that_wraps_it_and_no_other_is() -> None:
    rules = AddressRules.of(["127.0.0.0/8", "fd00::/8"])
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1"):
        assert rules.refusal(ip_address(address)) is None
    for address in ("10.0.0.1", "::1", "fc00::1", "::ffff:10.0.0.1"):
        assert rules.refusal(ip_address(address)) is not None


@given(st.ip_addresses())
def test_what_python_calls_private_or_multicast_is_never_reached(address: Any) -> None:
    if address.is_private or address.is_multicast or address.is_loopback or address.is_link_local:
        wrapped = getattr(address, "ipv4_mapped", None)
        assert wrapped is not None or AddressRules().refusal(address) is not None


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1", "[::1]"])
def test_every_way_to_write_an_address_is_known_for_one(host: str) -> None:
    address = literal_address(host)
    assert address is not None
    assert AddressRules().refusal(address) is not None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/", "want https"),
        ("ftp://example.com/", "want one such as"),
        ("example.com/hook", "want one such as"),
        ("https://", "want one such as"),
        ("https://user:hunter2@example.com/", "no user name"),
        ("https://user@example.com/", "no user name"),
        ("https://@example.com/", "no user name"),
        ("https://example.com/#part", "'#'"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "port"),
        ("https://exa mple.com/", "spaces"),
        ("https://example.com\\@127.0.0.1/", "backslashes"),
        ("https://127.0.0.1/", "this machine"),
        ("https://[::1]/", "not of the public internet"),
        ("https://[::ffff:127.0.0.1]/", "this machine"),
        ("https://2130706433/", "this machine"),
        ("https://169.254.169.254/latest/meta-data", "metadata"),
        ("https://10.0.0.1/", "private"),
        ("https://example.com/" + "x" * 2048, "bytes"),
    ],
)
def test_a_url_that_must_not_be_is_refused_without_repeating_an_account(url: str, said: str) -> None:
    with pytest.raises(AmpError, match=said) as refused:
        checked_url(url, AddressRules())
    assert refused.value.code is ErrorCode.INVALID_WEBHOOK
    assert "hunter2" not in refused.value.message


def test_http_goes_to_allowed_networks_alone() -> None:
    rules = AddressRules.of(["10.0.0.0/8"])
    assert checked_url("http://10.1.2.3:8080/hook", rules) == "http://10.1.2.3:8080/hook"
    assert checked_url("http://hooks.internal/", rules) == "http://hooks.internal/"  # its addresses are judged later
    with pytest.raises(AmpError, match="want https"):
        checked_url("http://8.8.8.8/", rules)


def test_urls_come_out_in_one_form() -> None:
    assert checked_url("HTTPS://Example.COM:443/Hook?a=1", AddressRules()) == "https://example.com/Hook?a=1"
    assert checked_url("https://bücher.example/", AddressRules()) == "https://xn--bcher-kva.example/"


# --- what


def job(**changes: Any) -> dict[str, Any]:
    plain = {"id": 12345, "kind": "extraction", "product": "my-app", "env": "prd", "run_at_ms": 5, "execution_count": 2}
    return plain | changes


def test_a_message_is_that_of_the_seed_with_sequence_and_event_id() -> None:
    at = datetime(2026, 3, 4, 10, 0, 0, 123_999, tzinfo=UTC)
    message = payload("job.failed", at, job(error="another chain"), sequence=8, event_id=4)
    assert message == {
        "event": "job.failed",
        "timestamp": 1772618400123,
        "sequence": 8,
        "event_id": 4,
        "job": {
            "id": "12345",
            "status": "failed",
            "namespace": "extraction",
            "product": "my-app",
            "env": "prd",
            "scheduled_at": 5,
            "execution_count": 2,
            "error": "another chain",
        },
    }
    assert json.loads(body_of(message)) == message
    assert b" " not in body_of(message).replace(b"another chain", b"")


@pytest.mark.parametrize("event", EVENTS)
def test_the_status_of_the_job_fits_the_event_and_an_error_belongs_to_failures(event: str) -> None:
    told = payload(event, datetime.now(UTC), job(error="e", reason="r"), sequence=1, event_id=1)["job"]
    assert told["status"] == EVENTS[event]
    assert ("error" in told) == (event == "job.failed")
    assert ("reason" in told) == (event in {"job.cancelled", "job.paused"})


def test_texts_are_texts_also_when_the_job_has_none_and_a_dataset_is_named() -> None:
    plain = job(product=None, env=None, dataset_namespace="ethereum", dataset_name="mainnet")
    told = payload("job.started", datetime.now(UTC), plain, sequence=1, event_id=1)["job"]
    assert (told["product"], told["env"]) == ("", "")
    assert told["dataset"] == {"namespace": "ethereum", "name": "mainnet"}
