from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from ampd.client import WebhookVerificationError, verify_webhook
from ampd.webhook_signature import key_of, new_key, secret_of, signature, signature_headers, verify_signature

OWN = "webhook-secret-key"
NOW = 1_772_618_400
BODY = b'{"event":"job.completed"}'


def signed(*secrets: str, at: int = NOW, body: bytes = BODY) -> dict[str, str]:
    return signature_headers([key_of(secret) for secret in secrets], "msg_1", at, body)


@given(
    key=st.binary(min_size=16, max_size=256), body=st.text(), at=st.integers(0, 4_000_000_000), name=st.text("abc_1")
)
def test_a_signature_is_the_one_of_the_package_for_every_key_body_and_time(
    key: bytes, body: str, at: int, name: str
) -> None:
    package = Webhook(secret_of(key)).sign(name, datetime.fromtimestamp(at, UTC), body)
    assert signature(key, name, at, body.encode()) == package


def test_the_example_of_the_standard_comes_out() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    got = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert got == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_text_of_ones_own_is_its_bytes_and_the_shown_form_is_the_same_key() -> None:
    assert key_of(OWN) == OWN.encode()
    shown = secret_of(key_of(OWN))
    assert shown == "whsec_" + base64.b64encode(OWN.encode()).decode()
    assert key_of(shown) == key_of(OWN)
    assert key_of(shown.rstrip("=")) == key_of(OWN)


def test_made_up_keys_are_long_and_never_the_same() -> None:
    assert len(new_key()) == 32
    assert new_key() != new_key()


@pytest.mark.parametrize(
    "secret", ["", "short", "whsec_", "whsec_abc", "whsec_no base64 at all!", "x" * 257, " " + OWN]
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        key_of(secret)
    assert len(secret.strip()) < 4 or secret.strip() not in str(refused.value)


def test_a_message_verifies_by_one_of_two_secrets() -> None:
    other = secret_of(new_key())
    headers = signed(other, OWN)
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (OWN, other):
        verify_signature(headers, BODY, key_of(secret), now=NOW)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"webhook-id": "msg_2"}, "no signature fits"),
        ({"webhook-timestamp": str(NOW + 1)}, "no signature fits"),
        ({"webhook-timestamp": "yesterday"}, "no time"),
        ({"webhook-timestamp": "9" * 400}, "no time"),
        ({"webhook-timestamp": "-5"}, "no time"),
        ({"webhook-timestamp": str(NOW - 301)}, "of another time"),
        ({"webhook-timestamp": str(NOW + 301)}, "of another time"),
        ({"webhook-signature": "garbage"}, "no signature fits"),
        ({"webhook-signature": "v1,a,b  v1"}, "no signature fits"),
        ({"webhook-signature": "v1,ümläut"}, "no signature fits"),
        ({"webhook-signature": ""}, "no signature fits"),
        ({"webhook-signature": None}, "webhook-signature is missing"),
        ({"webhook-id": None}, "webhook-id is missing"),
    ],
)
def test_a_message_that_was_tampered_with_does_not_verify(changes: dict[str, str | None], said: str) -> None:
    headers = {name: value for name, value in (signed(OWN) | changes).items() if value is not None}
    with pytest.raises(ValueError, match=said):
        verify_signature(headers, BODY, key_of(OWN), now=NOW)


def test_another_body_or_another_secret_does_not_verify() -> None:
    for body, secret in ((BODY + b" ", OWN), (BODY, OWN + "!")):
        with pytest.raises(ValueError, match="no signature fits"):
            verify_signature(signed(OWN), body, key_of(secret), now=NOW)


def test_the_client_verifies_and_reads_a_message_whatever_the_case_of_its_headers() -> None:
    now = int(datetime.now(UTC).timestamp())
    headers = {name.title(): value for name, value in signed(OWN, at=now).items()}
    assert verify_webhook(BODY, headers, OWN) == {"event": "job.completed"}
    assert verify_webhook(BODY.decode(), headers, secret_of(key_of(OWN))) == {"event": "job.completed"}
    with pytest.raises(WebhookVerificationError, match="another time"):
        verify_webhook(BODY, signed(OWN), OWN)
    with pytest.raises(WebhookVerificationError, match="no signature fits"):
        verify_webhook(BODY, headers, "another secret of mine")
    for nothing in (b"[]", b"no json"):
        with pytest.raises(WebhookVerificationError):
            verify_webhook(nothing, signed(OWN, at=now, body=nothing), OWN)
    with pytest.raises(ValueError, match="bytes"):
        verify_webhook(BODY, headers, "short")
