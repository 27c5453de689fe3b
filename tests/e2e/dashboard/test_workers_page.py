"""Workers in the browser: who is there, what they have in hand, and how work is kept away from them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from support.browser import look, page_at
from support.daemons import Process
from support.dashboard import Dashboard

_FIRST = 17686110


@pytest.fixture(scope="module")
def other(dashboard: Dashboard) -> Iterator[Process]:
    """Another worker, eth-1."""
    yield dashboard.start_worker("eth-1")


def _row(page: Page, name: str) -> Locator:
    heading = page.get_by_role("rowheader", name=name, exact=True)
    return page.get_by_role("table", name="Workers").get_by_role("row").filter(has=heading)


def test_workers_are_listed_as_the_api_tells_them(page: Page, dashboard: Dashboard, other: Process) -> None:
    page.goto("/#/workers")
    with dashboard.api() as api:
        workers = api.get("/workers").json()["workers"]
    expect(page.get_by_role("rowheader")).to_have_text(sorted(worker["node_id"] for worker in workers))
    for worker in workers:
        row = _row(page, worker["node_id"])
        for text in ("live", worker["info"]["version"], f"{worker['running_jobs']} of {worker['slots']}"):
            expect(row).to_contain_text(text)
        expect(row.get_by_role("link")).to_have_attribute("href", f"#/workers/{worker['node_id']}")


def test_a_worker_is_drained_after_a_question_and_gets_work_again(
    page: Page, dashboard: Dashboard, other: Process
) -> None:
    def is_draining() -> bool:
        with dashboard.api() as api:
            return bool(api.get("/workers/eth-1").json()["draining"])

    page.goto("/#/workers")
    button = _row(page, "eth-1").get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("hands its 0 running jobs back")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert is_draining() is False
    button.click()
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    expect(_row(page, "eth-1")).to_contain_text("draining")
    assert is_draining() is True
    look(page, "workers")
    page.goto("/#/workers/eth-1")
    page.get_by_role("button", name="Undrain …").click()
    page.get_by_role("dialog").get_by_role("button", name="Undrain").click()
    expect(page.get_by_role("button", name="Drain …")).to_be_visible()
    assert is_draining() is False


def test_a_worker_shows_its_jobs_and_ranges_and_one_that_is_gone_is_told_apart(
    page: Page, dashboard: Dashboard, other: Process, slow_node: str
) -> None:
    page.goto("/#/workers/eth-1")
    expect(page.get_by_text("No range of blocks is in its hands.")).to_be_visible()
    expect(page.get_by_text("No job is in its hands.")).to_be_visible()
    look(page, "worker-empty")
    job_id = dashboard.deployed("lab/held", slow_node, start_block=_FIRST, parallelism=2, worker_id="eth-*")
    # Without a reload.
    ranges = page.get_by_role("table", name="Ranges in hand")
    expect(ranges.get_by_role("link", name=f"#{job_id}").first).to_be_visible()
    expect(ranges).to_contain_text("lab/held")
    jobs = page.get_by_role("table", name="Jobs in hand")
    expect(jobs.get_by_role("rowheader")).to_contain_text([f"#{job_id}"])
    expect(page.get_by_text("1 of 16")).to_be_visible()
    look(page, "worker")
    page.goto("/#/workers")
    expect(_row(page, "eth-1")).to_contain_text("live")
    other.end()
    expect(_row(page, "eth-1")).to_have_count(0, timeout=20_000)
    page.get_by_label("Show 1 worker that is gone").check()
    expect(_row(page, "eth-1")).to_contain_text("gone")


def test_a_worker_that_never_was_is_told(browser: Browser, dashboard: Dashboard) -> None:
    with dashboard.api() as api:
        message = api.get("/workers/nobody").json()["error_message"]
    with page_at(browser, dashboard.url, ["the server responded with a status of 404"]) as page:
        page.goto("/#/workers/nobody")
        expect(page.get_by_role("alert")).to_contain_text(message)
