"""A real browser that looks at the pages of the dashboard, as Debian has it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

# Kept by CI; `make screenshots` takes what the README shows from here.
SCREENSHOTS: Final = Path(__file__).parents[2] / "test-results" / "dashboard"
WIDE: Final = {"width": 1280, "height": 900}
NARROW: Final = {"width": 360, "height": 800}
OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_AXE: Final = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
# Contrast is another one in the dark, and what is laid out is another when it is narrow: two looks see both.
_CHECKED: Final = frozenset({("wide", "light"), ("narrow", "dark")})
_SERIOUS: Final = frozenset({"serious", "critical"})


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser. Not for longer than a module: its event loop is in the way of asynchronous tests."""
    program = shutil.which("chromium")
    if program is None and not os.environ.get("CI"):
        pytest.skip("chromium is not installed: `make tools` brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


class Faults:
    """What a page complained about. ``expected`` are parts of messages that the test provokes."""

    def __init__(self, page: Page) -> None:
        self.expected: list[str] = []
        self._seen: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._seen.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._seen.append(f"{message.text} ({message.location.get('url', '')})")

    def unexpected(self) -> list[str]:
        return [text for text in self._seen if not any(part in text for part in self.expected)]


@contextmanager
def page_at(browser: Browser, url: str, faults: list[str] | None = None, **options: Any) -> Iterator[Page]:
    """Open a page in a context of its own. Errors in its console fail the test, but for ``faults`` (parts of them)."""
    context = browser.new_context(**{"viewport": WIDE, "base_url": url, "reduced_motion": "reduce", **options})
    try:
        page = context.new_page()
        page.set_default_timeout(15_000)
        heard = Faults(page)
        heard.expected += faults or []
        yield page
        assert heard.unexpected() == []
    finally:
        context.close()


def check_accessibility(page: Page) -> None:
    """Fail with what axe-core finds serious on the page as it is now."""
    # Not as a script of the page: its security policy would not let it in.
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    serious = [violation for violation in found["violations"] if violation["impact"] in _SERIOUS]
    told = [
        f"{violation['id']}: {violation['help']}: {[node['html'][:200] for node in violation['nodes'][:3]]}"
        for violation in serious
    ]
    assert not told, "\n".join(told)


def check_fits(page: Page) -> None:
    """Fail when the page is wider than its window: something is cut, or everything has to be pushed about."""
    too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    try:
        # What is drawn to the width of its box follows a frame later.
        page.wait_for_function(f"() => {too_wide} <= 0", timeout=5_000)
    except PlaywrightTimeout:
        raise AssertionError(f"{page.url} is {page.evaluate(too_wide)} px wider than its window") from None


def look(page: Page, name: str) -> None:
    """Check the page and keep pictures of it: wide and narrow, light and dark."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size or WIDE
    for size_name, size in (("wide", WIDE), ("narrow", NARROW)):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.wait_for_timeout(0)
            check_fits(page)
            if (size_name, scheme) in _CHECKED:
                check_accessibility(page)
            page.screenshot(path=SCREENSHOTS / f"{name}-{size_name}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(before)  # type: ignore[arg-type]
