"""The frame around all pages, and the settings: appearance, who looks, tokens."""

from __future__ import annotations

import httpx
from playwright.sync_api import Browser, Page, expect

from support.browser import look, page_at
from support.dashboard import Dashboard


def tokens(dashboard: Dashboard, token: str) -> dict[str, dict[str, object]]:
    answer = httpx.get(f"{dashboard.url}/tokens", headers={"Authorization": f"Bearer {token}"})
    return {each["name"]: each for each in answer.json()["tokens"]}


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


# Rows that come and go, with a part that never changes: what libraries like to keep.
_COME_AND_GO = """async () => {
  const {html, render} = await import("/assets/core/preact.js");
  const place = globalThis.place = document.createElement("div");
  const Row = ({number}) => html`<li>${number}<input type="checkbox" /></li>`;
  globalThis.draw = (first) => {
    const rows = [...Array(100).keys()].map((row) => html`<${Row} key=${first + row} number=${first + row} />`);
    render(html`<ul>${rows}</ul>`, place);
  };
  for (let first = 0; first < 5000; first += 50) globalThis.draw(first);
}"""


def test_what_is_no_longer_drawn_is_let_go(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    session = page.context.new_cdp_session(page)

    def nodes() -> int:
        session.send("HeapProfiler.collectGarbage")
        return int(session.send("Memory.getDOMCounters")["nodes"])

    before = nodes()
    page.evaluate(_COME_AND_GO)
    assert nodes() - before < 500


def test_the_keyboard_skips_to_the_content(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_the_appearance_is_kept_and_there_before_the_page_is_painted(page: Page) -> None:
    ground = "() => getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    page.goto("/#/settings")
    page.get_by_label("As the system").is_checked()
    light = page.evaluate(ground)
    page.get_by_label("Dark").check()
    dark = page.evaluate(ground)
    assert dark != light
    # The modules of the page come after its first paint; without them it is dark already.
    page.route("**/assets/app.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.reload()
    assert page.evaluate(ground) == dark
    page.unroute("**/assets/app.js")
    page.reload()
    expect(page.get_by_label("Dark")).to_be_checked()
    page.get_by_label("As the system").check()
    assert page.evaluate(ground) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) == dark


def test_a_page_of_another_tab_takes_the_appearance_over(page: Page) -> None:
    page.goto("/#/settings")
    other = page.context.new_page()
    other.goto("/#/settings")
    expect(other.get_by_label("Dark")).to_be_visible(timeout=15_000)
    page.get_by_label("Dark").check()
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")


def test_where_there_are_no_tokens_it_says_what_that_means(page: Page) -> None:
    page.goto("/#/settings")
    expect(page.get_by_role("region", name="You")).to_contain_text("whoever reaches the controller may do everything")
    expect(page.get_by_text("There are none, so everybody")).to_be_visible()
    look(page, "settings-open")


# The last one: from its first token on nobody gets in without one.
def test_the_first_token_signs_its_maker_in_others_are_made_and_revoked_and_the_own_one_signs_out(
    browser: Browser, dashboard: Dashboard
) -> None:
    # The console tells of each answer that is no success.
    with page_at(browser, dashboard.url, faults=["status of 400", "status of 401"]) as page:
        token = _make_the_first(page, dashboard)
        _make_another(page, dashboard, token)
        look(page, "settings")
        _revoke_another(page, dashboard, token)
        _revoke_the_own_one(page)


def _make_the_first(page: Page, dashboard: Dashboard) -> str:
    page.goto("/#/settings")
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog", name="Make the first token?")
    expect(dialog).to_contain_text("From now on everybody needs a token")
    dialog.locator("[name=name]").fill("boss")
    dialog.get_by_role("button", name="Create token").click()
    token = page.get_by_label("Token", exact=True).input_value()
    page.get_by_role("button", name="I have kept it").click()
    assert httpx.get(f"{dashboard.url}/jobs").status_code == 401
    made = tokens(dashboard, token)["boss"]
    assert (made["role"], made["namespaces"], made["expires_at"]) == ("admin", None, None)
    you = page.get_by_role("region", name="You")
    expect(you).to_contain_text("admin-api:boss")
    expect(you).to_contain_text("Session ends")
    session = page.evaluate("() => fetch('/session').then((answer) => answer.json())")
    expect(you).to_contain_text(session["version"])
    expect(page.get_by_role("row", name="boss")).to_contain_text("yours")
    return token


def _make_another(page: Page, dashboard: Dashboard, token: str) -> None:
    page.get_by_role("button", name="New token").press("Enter")
    dialog = page.get_by_role("dialog", name="New token")
    dialog.locator("[name=name]").fill("ci")
    dialog.get_by_label("Role").select_option("operator")
    dialog.get_by_label("Namespaces").fill("No Namespace")
    dialog.get_by_label("Expires").select_option("30")
    dialog.get_by_role("button", name="Create token").click()
    expect(dialog.get_by_role("alert")).to_contain_text("INVALID_BODY")
    dialog.get_by_label("Namespaces").fill("ethereum, polygon")
    dialog.get_by_role("button", name="Create token").press("Enter")
    secret = page.get_by_label("Token", exact=True).input_value()
    page.get_by_role("button", name="I have kept it").click()
    assert secret not in page.content()
    made = tokens(dashboard, token)["ci"]
    assert (made["role"], made["namespaces"], made["status"]) == ("operator", ["ethereum", "polygon"], "ACTIVE")
    assert made["expires_at"] is not None
    assert secret.startswith(str(made["prefix"]))
    expect(page.get_by_role("row", name="ci ")).to_contain_text("ethereum, polygon")


def _revoke_another(page: Page, dashboard: Dashboard, token: str) -> None:
    page.get_by_role("button", name="Revoke ci").click()
    asked = page.get_by_role("dialog", name="Revoke ci?")
    expect(asked).not_to_contain_text("signed in with")
    asked.get_by_role("button", name="Cancel").click()
    assert tokens(dashboard, token)["ci"]["status"] == "ACTIVE"
    page.get_by_role("button", name="Revoke ci").click()
    asked.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row", name="ci ")).to_contain_text("revoked")
    assert tokens(dashboard, token)["ci"]["status"] == "REVOKED"


def _revoke_the_own_one(page: Page) -> None:
    page.get_by_role("button", name="Revoke boss").click()
    own = page.get_by_role("dialog", name="Revoke boss?")
    expect(own).to_contain_text("It is the one that you are signed in with")
    own.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(page.get_by_text("You were signed out.")).to_be_visible()
    expect(page.get_by_text("'boss', which was revoked")).to_be_visible()
