"""The pages of webhooks: endpoints are made, tried, changed and removed, and what they did not get is sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from aiohttp import web
from playwright.sync_api import Browser, Locator, Page, expect

from support.browser import look, page_at
from support.daemons import wait_for
from support.dashboard import Dashboard
from support.nodes import on_thread
from support.receivers import Receiver, receiver

SECRET = "a-secret-of-our-own"
HOSTILE = "<img src=x onerror=document.title='taken'> \u202etxet\u202c " + "x" * 200


@asynccontextmanager
async def _listening(there: list[Receiver]) -> AsyncIterator[str]:
    async with receiver(SECRET.encode()) as found:
        there.append(found)
        yield found.url


@pytest.fixture
def receiving() -> Iterator[Receiver]:
    """A receiver on a thread of its own: the browser has this one."""
    there: list[Receiver] = []
    with on_thread(_listening(there)):
        yield there[0]


@pytest.fixture
def webhook(dashboard: Dashboard, receiving: Receiver) -> Iterator[int]:
    """The id of a webhook of the receiver; it goes with the test."""
    with dashboard.api() as api:
        body = {"url": receiving.url, "secret": SECRET, "description": HOSTILE, "filters": {"envs": [HOSTILE[:150]]}}
        made = api.post("/webhooks", json=body).json()
        yield made["id"]
        api.delete(f"/webhooks/{made['id']}")


def endpoints(dashboard: Dashboard) -> list[dict[str, Any]]:
    with dashboard.api() as api:
        return list(api.get("/webhooks").json()["webhooks"])


def endpoint(dashboard: Dashboard, webhook: int) -> dict[str, Any]:
    with dashboard.api() as api:
        return dict(api.get(f"/webhooks/{webhook}").json())


def send_tests(dashboard: Dashboard, webhook: int, count: int = 1) -> list[int]:
    with dashboard.api() as api:
        return [api.post(f"/webhooks/{webhook}/test").json()["id"] for _ in range(count)]


def delivered(dashboard: Dashboard, webhook: int, status: str, count: int) -> None:
    """Wait until so many messages have a status."""
    with dashboard.api() as api:

        def there() -> bool:
            query = {"status": status, "limit": 1000}
            return len(api.get(f"/webhooks/{webhook}/deliveries", params=query).json()["deliveries"]) >= count

        wait_for(f"{count} messages to be {status}", there)


def row(page: Page, delivery: int) -> Locator:
    button = page.get_by_role("button", name=f"Message {delivery}: details", exact=True)
    return page.get_by_role("row").filter(has=button)


def answer_hostile() -> Any:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text=HOSTILE, headers={"Retry-After": "3600"})

    return handle


def test_where_nobody_is_told_it_says_what_a_webhook_is(page: Page) -> None:
    page.goto("/#/webhooks")
    expect(page.get_by_text("Nobody is told of what happens to jobs.")).to_be_visible()
    look(page, "webhooks-empty")


def test_a_webhook_is_made_and_its_secret_shown_once(
    browser: Browser, dashboard: Dashboard, receiving: Receiver
) -> None:
    # The console tells of each answer that is no success; here one is provoked.
    with page_at(browser, dashboard.url, faults=["status of 400"]) as page:
        _make_a_webhook(page, dashboard, receiving)


def _make_a_webhook(page: Page, dashboard: Dashboard, receiving: Receiver) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/#/webhooks")
    page.get_by_role("button", name="New webhook").press("Enter")
    dialog = page.get_by_role("dialog", name="New webhook")
    address = f"{receiving.url}/a-token-that-nobody-should-read-here?key=hidden"
    dialog.get_by_label("URL").fill(address)
    for event in ("job.scheduled", "job.started", "job.paused", "job.resumed"):
        dialog.get_by_label(event).uncheck()
    dialog.get_by_label("Environments").fill(" prd, stg ,")
    dialog.get_by_label("Secret").fill("short")
    dialog.get_by_role("button", name="Create webhook").click()
    expect(dialog.get_by_role("alert")).to_contain_text("INVALID")
    dialog.get_by_label("Secret").fill(SECRET)
    dialog.get_by_role("button", name="Create webhook").click()

    shown = page.get_by_role("dialog", name="was created")
    field = shown.get_by_label("Secret")
    expect(field).to_have_value("whsec_YS1zZWNyZXQtb2Ytb3VyLW93bg==")
    page.keyboard.press("Escape")
    expect(field).to_be_visible()
    shown.get_by_role("button", name="Copy").click()
    expect(shown.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == field.input_value()
    shown.get_by_role("button", name="I have kept it").click()
    expect(shown).to_be_hidden()
    assert "whsec_" not in page.content()

    (made,) = endpoints(dashboard)
    assert made["url"] == address
    assert made["events"] == ["job.completed", "job.failed", "job.cancelled"]
    assert made["filters"] == {"kinds": None, "products": None, "envs": ["prd", "stg"], "dataset_namespaces": None}
    listed = page.get_by_role("row", name="enabled")
    expect(listed).to_contain_text(f"{receiving.url}/a-toke…?…")
    expect(listed).to_contain_text("none yet")
    listed.get_by_role("link").click()
    expect(page.get_by_text("a-token-that-nobody-should-read-here")).to_be_hidden()
    page.get_by_role("button", name="Show all of it").click()
    expect(page.get_by_text(address)).to_be_visible()

    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Nobody is told of what happens to jobs.")).to_be_visible()
    assert endpoints(dashboard) == []


def test_a_test_that_was_sent_shows_how_it_went_without_a_reload(
    page: Page, dashboard: Dashboard, webhook: int, receiving: Receiver
) -> None:
    page.goto(f"/#/webhooks/{webhook}")
    expect(page.get_by_text("Nothing was sent yet.")).to_be_visible()
    page.get_by_role("button", name="Send test").click()
    page.get_by_role("dialog").get_by_role("button", name="Send test").click()
    expect(page.get_by_role("cell", name="delivered")).to_be_visible()
    assert [each.event for each in receiving.received] == ["webhook.test"]
    page.get_by_role("button", name=": details").click()
    expect(page.get_by_text(receiving.received[0].message_id)).to_be_visible()
    expect(page.locator("pre").first).to_contain_text('"event": "webhook.test"')


def test_what_failed_is_counted_and_sent_again_to_the_receiver(
    page: Page, dashboard: Dashboard, webhook: int, receiving: Receiver, module_database_url: str
) -> None:
    receiving.always = answer_hostile()
    first, second = send_tests(dashboard, webhook, 2)
    wait_for("both to be tried", lambda: len(receiving.received) >= 2)
    page.goto(f"/#/webhooks/{webhook}")
    expect(page.get_by_role("region", name="Settings")).to_contain_text("✗ failing since")
    expect(row(page, first)).to_contain_text("pending")
    expect(row(page, first)).to_contain_text("500")
    expect(row(page, first)).to_contain_text("in ")  # the time of the next try
    with psycopg.connect(module_database_url, autocommit=True) as connection:  # its three days pass
        connection.execute("UPDATE webhook_deliveries SET attempts = 9, next_attempt_at = now()")
    delivered(dashboard, webhook, "FAILED", 2)
    page.get_by_label("Status").select_option("FAILED")
    expect(row(page, first)).to_contain_text("failed")
    row(page, first).get_by_role("button", name="details").click()
    expect(page.get_by_role("alert")).to_contain_text("500")
    expect(page.get_by_text(HOSTILE).last).to_be_visible()
    look(page, "webhook")
    assert page.title() != "taken"

    receiving.always = None
    seen = len(receiving.received)
    row(page, first).get_by_role("button", name="Send again").click()
    page.get_by_role("dialog").get_by_role("button", name="Send again").click()
    wait_for("the replay", lambda: len(receiving.received) == seen + 1)
    expect(row(page, first)).to_be_hidden()
    page.get_by_role("button", name="Send failed ones again").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Show what it would do").click()
    expect(dialog.get_by_text("1 message would be sent again.")).to_be_visible()
    assert len(receiving.received) == seen + 1
    dialog.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("1 message is sent again")).to_be_visible()
    wait_for("the other replay", lambda: len(receiving.received) == seen + 2)
    assert {each.message_id for each in receiving.received[seen:]} == {
        each.message_id for each in receiving.received[:2]
    }
    expect(row(page, second)).to_be_hidden()
    page.get_by_label("Status").select_option("DELIVERED")
    expect(row(page, second)).to_be_visible()


def test_a_webhook_is_changed_disabled_enabled_and_given_a_new_secret(
    page: Page, dashboard: Dashboard, webhook: int
) -> None:
    page.goto(f"/#/webhooks/{webhook}")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("job.started").uncheck()
    dialog.get_by_label("Environments").fill("")
    dialog.get_by_label("Description").fill("on call")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("on call")).to_be_visible()
    changed = endpoint(dashboard, webhook)
    assert "job.started" not in changed["events"]
    assert len(changed["events"]) == 6
    assert changed["filters"]["envs"] is None

    page.get_by_role("button", name="Disable").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(page.get_by_text("by an operator")).to_be_visible()
    assert not endpoint(dashboard, webhook)["enabled"]
    refused = page.get_by_role("button", name="Send test")
    expect(refused).to_have_attribute("aria-disabled", "true")
    expect(refused).to_have_attribute("title", "The webhook is disabled: enable it first.")
    page.get_by_role("button", name="Enable", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Enable").click()
    expect(page.get_by_role("region", name="Settings")).to_contain_text("✓ enabled")
    assert endpoint(dashboard, webhook)["enabled"]

    page.get_by_role("button", name="New secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Make a new secret").click()
    secret = page.get_by_role("textbox", name="Secret").input_value()
    assert secret.startswith("whsec_")
    assert secret != "whsec_YS1zZWNyZXQtb2Ytb3VyLW93bg=="
    page.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_text("signs, too, until")).to_be_visible()
    assert endpoint(dashboard, webhook)["rotation_ends_at"] is not None


def test_long_logs_are_paged_and_the_page_can_be_linked_to(page: Page, dashboard: Dashboard, webhook: int) -> None:
    sent = send_tests(dashboard, webhook, 27)
    delivered(dashboard, webhook, "DELIVERED", 27)
    page.goto(f"/#/webhooks/{webhook}")
    details = page.get_by_role("button", name=": details")
    expect(details).to_have_count(25)
    page.get_by_role("button", name="Next page").click()
    expect(details).to_have_count(2)
    expect(row(page, sent[0])).to_be_visible()
    page.reload()
    expect(details).to_have_count(2)
    page.get_by_role("button", name="First page").click()
    expect(row(page, sent[-1])).to_be_visible()


def test_the_list_shows_what_became_of_the_newest_message(page: Page, dashboard: Dashboard, webhook: int) -> None:
    page.goto("/#/webhooks")
    expect(page.get_by_role("row", name="none yet")).to_be_visible()
    send_tests(dashboard, webhook)
    expect(page.get_by_role("row", name="webhook.test")).to_contain_text("delivered")
    look(page, "webhooks")
    assert page.title() != "taken"
