"""The frame around the pages: where one is, who looks, whether it is live."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from support.dashboard import Dashboard


def test_the_pages_can_be_reached_from_everywhere(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    for title in ("Jobs", "Workers", "Datasets", "Webhooks", "Settings", "Overview"):
        link = page.get_by_role("navigation", name="Main").get_by_role("link", name=title)
        link.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(link).to_have_attribute("aria-current", "page")


def test_a_page_that_there_is_not_says_so(page: Page) -> None:
    page.goto("/#/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


def test_the_keyboard_skips_to_the_content(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_a_page_goes_on_when_the_controller_was_away(page: Page, dashboard: Dashboard) -> None:
    page.goto("/")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
