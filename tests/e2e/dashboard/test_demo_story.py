"""``ampd demo --dashboard`` as somebody meets it who has just cloned ampd. Its pictures are those of the README."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import SCREENSHOTS, look, page_at
from support.daemons import Process, ampd
from support.processes import processes_of


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo has its lake, its database and its logs."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    log = tmp_path_factory.mktemp("log") / "demo.log"
    process = ampd("demo", "--dashboard", log=log, environment={"TMPDIR": str(temporary)})
    try:
        yield process
    finally:
        process.end()


@pytest.fixture(scope="module")
def address(demo: Process) -> str:
    """The address that the demo prints."""
    return demo.wait_for_text("Dashboard  http://", timeout=90).split()[-1]


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with page_at(browser, address, device_scale_factor=1) as opened:
        yield opened


def test_the_overview_shows_what_goes_on(page: Page) -> None:
    page.goto("/")
    table = page.get_by_role("region", name="Behind the head")
    for dataset in ("demo/blocks", "demo/tip", "demo/long"):
        expect(table.get_by_role("link", name=dataset)).to_be_visible()
    expect(page.get_by_text("HTTP_STATUS_REFUSED")).to_be_visible()
    look(page, "demo-overview")
    page.screenshot(path=SCREENSHOTS / "readme-overview.png")


def test_one_watches_a_job_move_stops_it_and_lets_it_go_on(page: Page) -> None:
    page.goto("/#/datasets/demo/long")
    page.get_by_role("link", name=re.compile(r"#\d+")).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("running")
    share = page.get_by_role("region", name="Progress").get_by_text(re.compile(r"\d\.\d %")).first
    seen = share.inner_text()
    expect(share).not_to_have_text(seen, timeout=60_000)  # without a reload
    look(page, "demo-job")
    page.screenshot(path=SCREENSHOTS / "readme-job.png")
    operate(page, "Pause")
    expect(page.get_by_role("heading", level=1)).to_contain_text("paused", timeout=60_000)
    operate(page, "Resume")
    expect(page.get_by_role("heading", level=1)).to_contain_text("running", timeout=60_000)


def operate(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=name).click()


def test_it_ends_by_a_signal_and_leaves_nothing(demo: Process, address: str, temporary: Path) -> None:
    demo.signal(signal.SIGINT)
    assert demo.wait(60) == 0
    assert "Traceback" not in demo.text()
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []
