"""The list of jobs: found by filters that can be linked to, live, and changed many at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from support.actions import actions
from support.browser import look
from support.daemons import wait_for
from support.dashboard import Dashboard

HOSTILE = "<img src=x onerror=window.hacked=1>"
LATER = "2090-03-04T10:00:00Z"
MANY = 101


@dataclass
class Jobs:
    """Jobs that the tests of this module look at; who changes some makes them itself."""

    dashboard: Dashboard
    api: httpx.Client
    base: str

    def create(self, action: str = "done", **options: Any) -> int:
        body = {"kind": "http", "input": {"url": f"{self.base}/{action}"}, **options}
        return int(self.api.post("/jobs", json=body).raise_for_status().json()["id"])

    def later(self, **options: Any) -> int:
        return self.create(start_at=LATER, **options)

    def listed(self, **query: Any) -> list[Any]:
        found = self.api.get("/jobs", params={"status": "all", "limit": 1000, **query}).json()["jobs"]
        return list(found)


@pytest.fixture(scope="module")
def jobs(dashboard: Dashboard) -> Iterator[Jobs]:
    with actions() as called, dashboard.api() as api:
        made = Jobs(dashboard, api, called.base)
        done = made.create(labels={"set": "few", "text": HOSTILE})
        failed = made.create(f"refused/{'x' * 30}", labels={"set": "few", "text": "\u202emirrored מלים"})
        made.create("held", labels={"set": "few", "product": "x" * 200})
        made.later(labels={"set": "few"})
        made.create(schedule={"cron": "0 9 * * MON-FRI", "tz": "America/New_York"}, labels={"set": "few"})
        dashboard.wait_for_status(done, "COMPLETED")
        dashboard.wait_for_status(failed, "FAILED")
        wait_for("the call that is held", lambda: made.listed(status="running", label="set=few"))
        yield made


def rows(page: Page) -> Locator:
    return page.get_by_role("region", name="Jobs", exact=True).locator("tbody tr")


def ids_shown(page: Page) -> list[int]:
    return [int(text) for text in rows(page).locator("th").all_inner_texts()]


def choice(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation", name="Jobs by state").get_by_role("link", name=re.compile(f"^{name} "))


def test_the_list_and_the_counts_are_what_the_api_answers(page: Page, jobs: Jobs) -> None:
    page.goto("/#/jobs?label=set%3Dfew")
    listed = jobs.listed(label="set=few")
    expect(rows(page)).to_have_count(len(listed))
    assert ids_shown(page) == [job["id"] for job in listed]
    for row, job in zip(rows(page).all(), listed, strict=True):
        expect(row).to_contain_text(job["status"].lower())
    stats = jobs.api.get("/jobs/stats", params={"label": "set=few"}).json()
    waiting = stats["scheduled"] + stats["queued"]
    expect(choice(page, "All")).to_have_text(f"All {stats['total']}")
    expect(choice(page, "Waiting")).to_have_text(f"Waiting {waiting}")
    expect(choice(page, "Failed")).to_have_text(f"Failed {stats['failed']}")
    assert page.evaluate("() => window.hacked") is None
    look(page, "jobs")


def test_filters_are_kept_in_the_address(page: Page, jobs: Jobs) -> None:
    page.goto("/#/jobs?label=set%3Dfew")
    choice(page, "Failed").click()
    expect(rows(page)).to_have_count(1)
    assert "state=FAILED" in page.url
    page.get_by_text("More filters").click()
    page.get_by_label("scheduled", exact=True).check()
    expect(rows(page)).to_have_count(3)
    page.get_by_label("Timetable").select_option("with")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Kind").fill("verification")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No jobs are there that this filter lets through.")).to_be_visible()
    page.reload()
    expect(page.get_by_role("list", name="Filters")).to_contain_text("kind: verification")
    page.get_by_role("button", name="Take this filter away: kind verification").click()
    page.get_by_role("button", name="Take this filter away: with a timetable true").click()
    expect(rows(page)).to_have_count(3)
    page.get_by_label("Created before").fill("2001-01-01T00:00")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(0)
    page.go_back()
    expect(rows(page)).to_have_count(3)


def test_the_search_takes_an_id_a_dataset_or_a_label(page: Page, jobs: Jobs) -> None:
    job = jobs.listed(label="set=few")[0]
    page.goto("/#/jobs")
    search = page.get_by_role("searchbox")
    search.fill("set=few")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Filters")).to_contain_text("label: set=few")
    search.fill("ethereum/mainnet@1.0.0")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Filters")).to_contain_text("dataset: ethereum/mainnet")
    expect(page.get_by_role("list", name="Filters")).to_contain_text("label: dataset_version=1.0.0")
    search.fill("what is this")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("is no id, no dataset and no label")
    search.fill(str(job["id"]))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Job {job['id']}")


def test_a_selected_row_changes_in_place(page: Page, jobs: Jobs) -> None:
    job_id = jobs.later(labels={"set": "live"})
    page.goto("/#/jobs?label=set%3Dlive")
    box = page.get_by_label(f"Select job {job_id}")
    box.check()
    box.focus()
    jobs.api.post(f"/jobs/{job_id}/pause").raise_for_status()
    expect(rows(page)).to_contain_text("paused")
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    expect(choice(page, "Paused")).to_have_text("Paused 1")


def test_what_is_done_to_selected_jobs_is_shown_before_and_told_afterwards(page: Page, jobs: Jobs) -> None:
    waits, done = jobs.later(labels={"set": "bulk"}), jobs.create(labels={"set": "bulk"})
    jobs.dashboard.wait_for_status(done, "COMPLETED")
    page.goto("/#/jobs?label=set%3Dbulk")
    cancel = page.get_by_role("button", name="Cancel…")
    expect(cancel).to_have_attribute("aria-disabled", "true")
    page.get_by_label("Select all jobs of this page").check()
    expect(page.get_by_text("2 jobs selected")).to_be_visible()
    cancel.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 job would be asked to end; 1 job would be left as it is")
    expect(dialog).to_contain_text(f"Job {done}: it has ended already")
    assert jobs.dashboard.job(waits)["status"] == "SCHEDULED"
    dialog.get_by_label("Reason").fill("not wanted")
    dialog.get_by_role("button", name="End them").click()
    expect(page.get_by_text("1 job is asked to end; 1 job was left as it is")).to_be_visible()
    expect(cancel).to_be_focused()
    job = jobs.dashboard.job(waits)
    assert (job["status"], job["stop_reason"]) == ("STOPPED", "not wanted")


def test_all_that_match_the_filter_are_changed_not_only_those_of_the_page(page: Page, jobs: Jobs) -> None:
    for _ in range(MANY):
        jobs.later(labels={"set": "many"})
    page.goto("/#/jobs?label=set%3Dmany")
    expect(rows(page)).to_have_count(100)
    page.get_by_role("columnheader", name="Job", exact=True).get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="Job", exact=True)).to_have_attribute("aria-sort", "ascending")
    assert ids_shown(page) == sorted(ids_shown(page))
    page.get_by_role("button", name="Next page").click()
    expect(rows(page)).to_have_count(MANY - 100)
    expect(page.get_by_role("columnheader", name="Job", exact=True)).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="First page").click()
    expect(rows(page)).to_have_count(100)
    page.get_by_role("button", name="Select all that match the filter").click()
    page.get_by_role("button", name="Pause…").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"{MANY} jobs would be set aside.")
    page.get_by_role("dialog").get_by_role("button", name="Pause them").press("Enter")
    expect(page.get_by_text(f"{MANY} jobs are set aside.")).to_be_visible()
    assert {job["status"] for job in jobs.listed(label="set=many")} == {"PAUSED"}
    expect(choice(page, "Paused")).to_have_text(f"Paused {MANY}")


def test_an_http_job_is_created_with_a_timetable_that_is_shown_before(page: Page, jobs: Jobs) -> None:
    page.goto("/#/jobs")
    page.get_by_role("button", name="New http job").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Method").select_option("POST")
    dialog.get_by_label("URL").fill(f"{jobs.base}/done")
    dialog.get_by_label("Body").fill("{")
    dialog.get_by_label("Label").fill("set=new")
    dialog.get_by_text("Timetable").click()
    dialog.get_by_label("Cron (minute").fill("0 9 1 1 *")
    dialog.get_by_role("button", name="Show what it would do").click()
    expect(dialog).to_contain_text("It would fire at:")
    dialog.get_by_role("button", name="Create job").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The body is no JSON")
    dialog.get_by_label("Body").fill('{"day": 1}')
    dialog.get_by_role("button", name="Create job").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("scheduled")
    (job,) = jobs.listed(label="set=new")
    assert (job["kind"], job["cron"], job["input"]["method"]) == ("http", "0 9 1 1 *", "POST")
    assert job["input"]["body"] == {"day": 1}
