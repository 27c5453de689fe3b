"""Signing in: what each role may do, and what an open page does when its session or its controller ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import look, page_at
from support.dashboard import Dashboard

# The console of a browser tells of each answer that is no success, and of connections that are lost.
REFUSED = ["status of 401"]
AWAY = [*REFUSED, "net::ERR_", "status of 503"]
_CHANGE = """async (token) => (await fetch("/jobs/cancel", {
  method: "POST",
  headers: {"Content-Type": "application/json", ...(token ? {"X-CSRF-Token": token} : {})},
  body: JSON.stringify({all: true}),
})).status"""


@dataclass
class Guarded:
    """A solo that wants tokens; ``tokens`` are those of the roles."""

    solo: Dashboard
    tokens: dict[str, str]
    webhook: int

    @property
    def url(self) -> str:
        return self.solo.url

    def admin(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def token(self, role: str, name: str) -> tuple[int, str]:
        """Make a token and return its id, and itself."""
        with self.admin() as api:
            made = api.post("/tokens", json={"role": role, "name": name}).json()
        return made["id"], made["token"]


@pytest.fixture(scope="module")
def guarded(dashboard: Dashboard) -> Guarded:
    first = httpx.post(f"{dashboard.url}/tokens", json={"role": "admin", "name": "admin"}).json()["token"]
    found = Guarded(dashboard, {"admin": first}, 0)
    for role in ("operator", "viewer"):
        found.tokens[role] = found.token(role, role)[1]
    with found.admin() as api:
        found.webhook = api.post("/webhooks", json={"url": "https://example.com/hooks"}).json()["id"]
    return found


@pytest.fixture
def page(browser: Browser, guarded: Guarded) -> Iterator[Page]:
    with page_at(browser, guarded.url, faults=REFUSED) as opened:
        yield opened


def sign_in(page: Page, token: str) -> None:
    field = page.get_by_role("textbox", name="Token")
    expect(field).to_be_focused()
    field.fill(token)
    field.press("Enter")


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def live(page: Page) -> None:
    expect(page.get_by_role("banner").get_by_role("status")).to_have_text("● live", timeout=30_000)


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_each_role_signs_in_and_finds_disabled_what_it_may_not_do(page: Page, guarded: Guarded, role: str) -> None:
    page.goto(f"/#/webhooks/{guarded.webhook}")
    sign_in(page, guarded.tokens[role])
    heading(page, f"Webhook {guarded.webhook}")
    expect(page.get_by_role("banner")).to_contain_text(f"admin-api:{role} ({role})")
    for button, allowed in {"Send test": {"operator", "admin"}, "Remove": {"admin"}}.items():
        found = page.get_by_role("button", name=button)
        expect(found).to_have_attribute("aria-disabled", "false" if role in allowed else "true")
        found.click(force=True)  # Playwright would wait for it to be enabled
        dialog = page.get_by_role("dialog")
        if role in allowed:
            dialog.get_by_role("button", name="Cancel").click()
        else:
            expect(found).to_contain_text("you are signed in as")
        expect(dialog).to_have_count(0)
    page.get_by_role("link", name="Settings").click()
    new_token = page.get_by_role("button", name="New token")
    expect(new_token).to_have_attribute("aria-disabled", "false" if role == "admin" else "true")
    page.get_by_role("button", name="Sign out").click()
    heading(page, "Sign in")
    expect(page.get_by_text("You were signed out.")).to_have_count(0)
    assert page.evaluate("() => fetch('/jobs').then((answer) => answer.status)") == 401


def test_a_wrong_token_is_refused_and_the_right_one_leads_to_the_page_that_was_asked_for(
    page: Page, guarded: Guarded
) -> None:
    page.goto("/#/settings")
    heading(page, "Sign in")
    look(page, "sign-in")
    sign_in(page, "ampd_nonsense")
    expect(page.get_by_role("alert")).to_contain_text("UNAUTHORIZED")
    expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
    sign_in(page, guarded.tokens["viewer"])
    heading(page, "Settings")
    assert page.url.endswith("#/settings")
    page.reload()
    heading(page, "Settings")


def test_who_signs_in_at_the_page_for_it_comes_to_the_overview(page: Page, guarded: Guarded) -> None:
    page.goto("/#/sign-in")
    sign_in(page, guarded.tokens["viewer"])
    heading(page, "Overview")


def test_a_token_that_is_revoked_throws_out_the_open_page_and_says_why(page: Page, guarded: Guarded) -> None:
    number, token = guarded.token("viewer", "passing")
    page.goto("/#/webhooks")
    sign_in(page, token)
    heading(page, "Webhooks")
    live(page)
    with guarded.admin() as api:
        assert api.delete(f"/tokens/{number}").status_code == 204
        # The stream notices within 15 s; the page at the first thing that it asks for.
        api.patch(f"/webhooks/{guarded.webhook}", json={"description": "not for everybody"})
    heading(page, "Sign in")
    expect(page.get_by_text("You were signed out.")).to_be_visible()
    expect(page.get_by_text("'passing', which was revoked")).to_be_visible()
    expect(page.get_by_text("not for everybody")).to_have_count(0)
    sign_in(page, guarded.tokens["admin"])
    heading(page, "Webhooks")
    expect(page.get_by_text("not for everybody")).to_be_visible()


def test_a_page_goes_on_with_the_session_that_another_tab_has_begun(browser: Browser, guarded: Guarded) -> None:
    with page_at(browser, guarded.url, faults=[*REFUSED, "status of 403"]) as page:
        _change_sessions(page, guarded)


def _change_sessions(page: Page, guarded: Guarded) -> None:
    page.goto(f"/#/webhooks/{guarded.webhook}")
    sign_in(page, guarded.tokens["admin"])
    heading(page, f"Webhook {guarded.webhook}")
    other = page.context.new_page()
    other.goto("/#/settings")
    other.get_by_role("button", name="Sign out").click()
    sign_in(other, guarded.tokens["admin"])
    heading(other, "Settings")
    other.close()
    # It has seen nothing of that, or asks to sign in; either way nothing has to be loaded again.
    if page.get_by_role("button", name="Disable").count() == 0:
        sign_in(page, guarded.tokens["admin"])
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(page.get_by_text("by an operator")).to_be_visible()


def test_a_browser_signs_in_stays_so_over_a_reload_and_signs_out(guarded: Guarded, browser: Browser) -> None:
    _, token = guarded.token("admin", "ada")
    # What a browser says of the requests that this test provokes.
    with page_at(browser, guarded.url, ["status of 401", "status of 403"]) as page:
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


def test_a_page_outlives_a_restart_of_the_controller_and_shows_what_happened_meanwhile(
    browser: Browser, guarded: Guarded
) -> None:
    with page_at(browser, guarded.url, faults=AWAY) as page:
        page.goto("/#/webhooks")
        sign_in(page, guarded.tokens["admin"])
        live(page)
        page.evaluate("() => { window.notReloaded = true; }")
        guarded.solo.processes[-1].end()
        expect(page.get_by_text("no connection to the controller")).to_be_visible()
        guarded.solo.start_solo()
        with guarded.admin() as api:
            api.post("/webhooks", json={"url": "https://example.com/made-meanwhile"})
        expect(page.get_by_text("made-meanwhile")).to_be_visible(timeout=30_000)
        live(page)
        assert page.evaluate("() => window.notReloaded")
