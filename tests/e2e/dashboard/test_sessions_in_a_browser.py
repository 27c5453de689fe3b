"""Sessions as a browser has them: what it keeps, what it sends, and what it does not let scripts see."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from support.browser import page_at
from support.dashboard import Dashboard

_CHANGE = """async (token) => (await fetch("/jobs/cancel", {
  method: "POST",
  headers: {"Content-Type": "application/json", ...(token ? {"X-CSRF-Token": token} : {})},
  body: JSON.stringify({all: true}),
})).status"""


def test_a_browser_signs_in_stays_so_over_a_reload_and_signs_out(own_dashboard: Dashboard, browser: Browser) -> None:
    with own_dashboard.api() as api:
        token = api.post("/tokens", json={"role": "admin", "name": "ada"}).json()["token"]
    # What a browser says of the requests that this test provokes.
    with page_at(browser, own_dashboard.url, ["status of 401", "status of 403", "status of 404"]) as page:
        page.goto("/")
        page.get_by_label("Token").fill(f"{token[:-1]}x")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("You are not signed in")).to_be_visible()
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        page.reload()
        expect(page.get_by_text("admin-api:ada")).to_be_visible()
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("ampd_session", True, "Strict")
        assert page.evaluate("document.cookie + JSON.stringify([localStorage, sessionStorage])") == "[{},{}]"
        csrf = page.evaluate("async () => (await (await fetch('/session')).json()).csrf_token")
        assert page.evaluate(_CHANGE, "") == 403
        assert page.evaluate(_CHANGE, csrf) == 200
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert page.context.cookies() == []
        assert page.evaluate(_CHANGE, csrf) == 401
