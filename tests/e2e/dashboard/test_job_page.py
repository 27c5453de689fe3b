"""One job: what it is, how far it is, which blocks it has, what has become of it, and what is done with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from support.actions import Actions, actions
from support.browser import look, page_at
from support.daemons import wait_for
from support.dashboard import Dashboard
from support.nodes import FIRST_BLOCK, LAST_BLOCK

HOSTILE = "<img src=x onerror=window.hacked=1>"
LATER = "2090-03-04T10:00:00Z"


@pytest.fixture(scope="module")
def called() -> Iterator[Actions]:
    with actions() as running:
        yield running


@pytest.fixture(scope="module")
def extracted(dashboard: Dashboard, recorded_node: str) -> int:
    """A job that has extracted the recorded blocks."""
    job_id = dashboard.deployed("looked/at", recorded_node, start_block=FIRST_BLOCK, end_block=LAST_BLOCK)
    dashboard.wait_for_status(job_id, "COMPLETED")
    return job_id


def create(api: httpx.Client, called: Actions, action: str, **options: Any) -> int:
    body = {"kind": "http", "input": {"url": called.url(action)}, **options}
    return int(api.post("/jobs", json=body).raise_for_status().json()["id"])


def open_job(page: Page, job_id: int) -> None:
    page.goto(f"/#/jobs/{job_id}")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Job {job_id}")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name="What can be done with this job").get_by_role(
        "button", name=re.compile(f"^{name}")
    )


def do(page: Page, name: str, action: str, **fields: str) -> None:
    """Press a button of the job, fill in the fields of its dialog, and press the button of that."""
    button(page, name).click()
    dialog = page.get_by_role("dialog")
    for label, value in fields.items():
        dialog.get_by_label(label).fill(value)
    dialog.get_by_role("button", name=action).click()
    expect(dialog).to_have_count(0)


def expect_state(page: Page, state: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text(state)


def slider(page: Page, table: str = "blocks") -> Locator:
    return page.get_by_role("slider", name=f"Ranges of {table}")


def test_an_extraction_shows_its_progress_as_the_api_has_it(page: Page, api: httpx.Client, extracted: int) -> None:
    open_job(page, extracted)
    progress = api.get(f"/jobs/{extracted}/progress").json()
    for table, of in progress["tables"].items():
        row = page.get_by_role("region", name="Progress of the tables").get_by_role("row", name=table)
        expect(row).to_contain_text("100.0 %")
        expect(row).to_contain_text(f"{of['row_count']:,}")
        expect(row).to_contain_text(f"{of['current_block']:,}")
    expect(page.get_by_role("link", name="looked/at@1.0.0")).to_have_attribute("href", "#/datasets/looked/at")
    expect(page.get_by_role("link", name="dataset_version=1.0.0")).to_be_visible()
    events = api.get(f"/jobs/{extracted}/events").json()["events"]
    shown = page.get_by_role("region", name="Events of the job").locator("tbody th")
    assert [int(text) for text in shown.all_inner_texts()] == [event["id"] for event in reversed(events)]
    page.get_by_role("region", name="Events of the job").get_by_text("Show", exact=True).last.click()
    expect(page.get_by_label(f"Payload of event {events[0]['id']}")).to_contain_text("manifest_hash")


def test_the_map_of_block_ranges_is_read_with_the_arrow_keys_and_looked_into(
    page: Page, api: httpx.Client, dashboard: Dashboard, slow_node: str
) -> None:
    end = FIRST_BLOCK + 399
    job_id = dashboard.deployed("map/slow", slow_node, start_block=FIRST_BLOCK, end_block=end)
    wait_for("blocks", lambda: dashboard.progress(job_id)["tables"].get("blocks", {}).get("current_block"))
    api.post(f"/jobs/{job_id}/pause").raise_for_status()
    dashboard.wait_for_status(job_id, "PAUSED")
    open_job(page, job_id)
    ranges = api.get(f"/jobs/{job_id}/ranges").json()
    done, missing = ranges["tables"][0]["ranges"][0], ranges["tables"][0]["ranges"][-1]
    assert (done["state"], missing["state"]) == ("done", "missing")
    strip = slider(page, ranges["tables"][0]["table"])
    strip.focus()
    words = f"blocks {done['start_block']:,} to {done['end_block']:,}: done"
    expect(strip).to_have_attribute("aria-valuetext", words)
    expect(page.get_by_text(words)).to_be_visible()
    expect(strip).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(strip).to_have_attribute("aria-valuetext", f"blocks {missing['start_block']:,} to {end:,}: missing")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(strip).to_have_attribute("aria-valuemax", str(done["end_block"]))
    assert f"to_block={done['end_block']}" in page.url
    page.get_by_label("From block").fill(str(end - 9))
    page.get_by_label("to block", exact=True).fill(str(end))
    page.get_by_role("button", name="Show", exact=True).click()
    expect(strip).to_have_attribute("aria-valuemin", str(end - 9))
    page.get_by_text("Numbers").click()
    numbers = page.get_by_role("table", name="Block ranges").get_by_role("row", name=re.compile("^blocks "))
    expect(numbers).to_contain_text(f"{end - 9:,}")
    page.get_by_role("button", name="Whole map").click()
    expect(strip).to_have_attribute("aria-valuemin", str(FIRST_BLOCK))
    box = strip.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    expect(page.locator("output.readout")).to_contain_text("missing")
    look(page, "job")


def test_progress_moves_without_a_reload(page: Page, dashboard: Dashboard, slow_node: str) -> None:
    job_id = dashboard.deployed("moves/slow", slow_node, start_block=FIRST_BLOCK, end_block=FIRST_BLOCK + 3999)
    open_job(page, job_id)
    row = page.get_by_role("region", name="Progress of the tables").get_by_role("row", name="blocks")
    expect(row.get_by_role("progressbar")).to_be_visible(timeout=20_000)
    before = row.inner_text()
    expect(row).not_to_have_text(re.compile(re.escape(before)), timeout=20_000)
    expect(slider(page)).to_be_visible()
    do(page, "Stop", f"Stop job {job_id}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("stopped", timeout=20_000)
    assert dashboard.job(job_id)["status"] == "STOPPED"


def test_a_job_is_paused_resumed_stopped_and_retried(
    page: Page, dashboard: Dashboard, api: httpx.Client, called: Actions
) -> None:
    job_id = create(api, called, "done", start_at=LATER)
    open_job(page, job_id)
    expect(button(page, "Resume")).to_have_attribute("title", "Not now: it is not paused.")
    expect(button(page, "Delete")).to_have_attribute("title", "Not now: it has not ended: stop it first.")
    button(page, "Delete").press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    do(page, "Pause", f"Pause job {job_id}", Reason="for a while")
    expect_state(page, "paused")
    assert dashboard.job(job_id)["stop_reason"] == "for a while"
    do(page, "Resume", f"Resume job {job_id}")
    expect_state(page, "completed")
    other = create(api, called, "done", start_at=LATER)
    open_job(page, other)
    do(page, "Cancel with", f"End job {other}", Reason=HOSTILE)
    expect_state(page, "stopped")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    assert dashboard.job(other)["stop_reason"] == HOSTILE
    do(page, "Retry", f"Retry job {other}", Wait="86400")
    expect_state(page, "scheduled")
    assert dashboard.job(other)["execution_number"] == 2
    do(page, "Stop", f"Stop job {other}")
    expect_state(page, "stopped")
    do(page, "Delete", f"Delete job {other}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert api.get(f"/jobs/{other}").status_code == 404
    assert page.evaluate("() => window.hacked") is None


def test_a_job_gets_another_timetable_that_is_shown_before(page: Page, api: httpx.Client, called: Actions) -> None:
    job_id = create(api, called, "done", schedule={"cron": "0 9 1 1 *", "tz": "America/New_York"})
    open_job(page, job_id)
    expect(page.get_by_text("0 9 1 1 *")).to_be_visible()
    button(page, "Reschedule").press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Cron (minute").fill("")
    dialog.get_by_label("Time zone of cron").fill("")
    dialog.get_by_label("Every").fill("36")
    dialog.get_by_label("Unit").select_option("hours")
    dialog.get_by_label("At most").fill("3")
    dialog.get_by_role("button", name="Show what it would do").click()
    expect(dialog.get_by_role("listitem")).to_have_count(3)
    assert api.get(f"/jobs/{job_id}").json()["cron"] == "0 9 1 1 *"
    dialog.get_by_role("button", name=f"Reschedule job {job_id}").click()
    expect(page.get_by_text("1 d 12 h", exact=True)).to_be_visible()
    job = api.get(f"/jobs/{job_id}").json()
    assert (job["cron"], job["every_ms"], job["limit"]) == (None, 36 * 3_600_000, 3)


def test_a_failure_is_shown_with_its_attempts_and_the_states_before_it(
    page: Page, dashboard: Dashboard, api: httpx.Client, called: Actions
) -> None:
    policy = {"initial_delay_secs": 0.05, "multiplier": 1.0, "jitter": 0.0}
    job_id = create(api, called, "down", retries=1, retry_policy=policy, labels={"text": HOSTILE})
    failed = dashboard.wait_for_status(job_id, "FAILED")
    open_job(page, job_id)
    expect(page.get_by_text(failed["last_error"]["error_message"]).first).to_be_visible()
    attempts = page.get_by_role("region", name="Attempts of execution 1").locator("tbody tr")
    expect(attempts).to_have_count(2)
    expect(attempts.last).to_contain_text("retrying")
    page.get_by_text("As a list").click()
    events = api.get(f"/jobs/{job_id}/events").json()["events"]
    states = page.locator(".spans li .state")
    assert [text.split()[1].upper() for text in states.all_inner_texts()] == [e["event_type"] for e in reversed(events)]
    assert page.evaluate("() => window.hacked") is None
    look(page, "job-failed")


def test_a_verification_shows_what_it_has_found(page: Page, dashboard: Dashboard, extracted: int) -> None:
    job_id = dashboard.create("verification", {"dataset": "looked/at@1.0.0"})
    open_job(page, job_id)
    expect(page.get_by_role("region", name="Verification")).to_contain_text("100.0 %", timeout=20_000)
    blocks = LAST_BLOCK - FIRST_BLOCK + 1
    expect(page.get_by_role("region", name="Verification")).to_contain_text(re.compile(f"Verified blocks\\s*{blocks}"))


@pytest.mark.long
def test_older_events_come_when_they_are_asked_for(page: Page, api: httpx.Client, called: Actions) -> None:
    job_id = create(api, called, "done", start_at=LATER, schedule={"cron": "0 9 1 1 *"})
    for _ in range(30):
        api.post(f"/jobs/{job_id}/pause").raise_for_status()
        api.post(f"/jobs/{job_id}/resume").raise_for_status()
    events = api.get(f"/jobs/{job_id}/events").json()["events"]
    open_job(page, job_id)
    shown = page.get_by_role("region", name="Events of the job").locator("tbody tr")
    expect(shown).to_have_count(50)
    page.get_by_role("button", name="Show older events").click()
    expect(shown).to_have_count(len(events))
    expect(shown.last).to_contain_text(str(events[0]["id"]))


def test_a_job_that_is_removed_while_one_looks_says_so(
    browser: Browser, dashboard: Dashboard, api: httpx.Client, called: Actions
) -> None:
    job_id = create(api, called, "done")
    dashboard.wait_for_status(job_id, "COMPLETED")
    with page_at(browser, dashboard.url, ["404"]) as page:
        open_job(page, job_id)
        expect_state(page, "completed")
        api.delete(f"/jobs/{job_id}").raise_for_status()
        expect(page.get_by_text("This job has been removed.")).to_be_visible()
        expect(button(page, "Delete")).to_have_attribute("title", "Not now: it has been removed.")
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("There is no such job")
        expect(page.get_by_role("region", name="Events of the job")).to_contain_text("completed")


@pytest.mark.long
def test_a_viewer_may_look_and_change_nothing(browser: Browser, own_dashboard: Dashboard) -> None:
    with own_dashboard.api() as api:
        admin = api.post("/tokens", json={"role": "admin"}).raise_for_status().json()["token"]
        by_admin = {"Authorization": f"Bearer {admin}"}
        viewer = api.post("/tokens", json={"role": "viewer"}, headers=by_admin).raise_for_status().json()["token"]
        body = {"kind": "http", "input": {"url": "https://example.com/"}, "start_at": LATER}
        job_id = api.post("/jobs", json=body, headers=by_admin).raise_for_status().json()["id"]
    with page_at(browser, own_dashboard.url) as page:
        page.goto("/#/jobs")
        page.get_by_label("Token").fill(viewer)
        page.keyboard.press("Enter")
        page.get_by_label(f"Select job {job_id}").check()
        for name in ("Cancel…", "Pause…", "Delete…", "New http job"):
            expect(page.get_by_role("button", name=name)).to_have_attribute("aria-disabled", "true")
        open_job(page, job_id)
        expect(button(page, "Stop")).to_have_attribute("title", re.compile("needs the role operator"))
        button(page, "Pause").press("Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.goto("/#/jobs?kind=nothing")
        expect(page.get_by_text("No jobs are there that this filter lets through.")).to_be_visible()
        look(page, "jobs-empty")
