"""Datasets in the browser: registered, deployed, looked at, and what is done with their tables."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from ampd.datasets import generate_manifest
from support.browser import look, page_at
from support.dashboard import Dashboard

_FIRST = 17686110
_LAST = 17686132
# What a page must show, and not run.
_HOSTILE = '<img src=x onerror="document.title=1">'
_REFUSED = "the server responded with a status of 4"


@pytest.fixture(scope="module")
def extracted(dashboard: Dashboard, recorded_node: str) -> int:
    """The job that has extracted ethereum/mainnet, whole."""
    job_id = dashboard.deployed("ethereum/mainnet", recorded_node, start_block=_FIRST, end_block=_LAST)
    dashboard.wait_for_status(job_id, "COMPLETED")
    return job_id


def _row(page: Page, table: str, name: str) -> Locator:
    heading = page.get_by_role("rowheader", name=name, exact=True)
    return page.get_by_role("table", name=table, exact=True).get_by_role("row").filter(has=heading)


def _field(page: Page, label: str) -> Locator:
    return page.get_by_label(label, exact=True)


def _confirm(page: Page, action: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=action, exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_list_shows_versions_and_active_jobs_and_can_be_narrowed(
    page: Page, dashboard: Dashboard, api: httpx.Client, extracted: int, slow_node: str
) -> None:
    job_id = dashboard.deployed("lab/slow", slow_node, start_block=_FIRST)
    page.goto("/#/datasets")
    datasets = api.get("/datasets").json()["datasets"]
    expect(page.get_by_role("rowheader")).to_have_text([f"{each['namespace']}/{each['name']}" for each in datasets])
    expect(_row(page, "Datasets", "ethereum/mainnet").get_by_role("cell")).to_contain_text(["1.0.0", "1.0.0", "none"])
    expect(_row(page, "Datasets", "lab/slow").get_by_role("link", name=f"#{job_id}")).to_have_attribute(
        "href", f"#/jobs/{job_id}"
    )
    expect(_row(page, "Datasets", "lab/slow")).to_contain_text("running")
    look(page, "datasets")
    page.get_by_label("Namespace").select_option("lab")
    expect(page.get_by_role("rowheader")).to_have_text(["lab/slow"])
    expect(page).to_have_url(re.compile(r"namespace=lab"))
    page.get_by_label("Name contains").fill("nothing")
    expect(page.get_by_text("No dataset fits the filter.")).to_be_visible()
    api.put(f"/jobs/{job_id}/stop")


def test_a_dataset_is_registered_with_the_manifest_that_ampctl_makes(
    browser: Browser, dashboard: Dashboard, api: httpx.Client
) -> None:
    with page_at(browser, dashboard.url, [_REFUSED]) as page:
        page.goto("/#/datasets/register")
        _field(page, "Namespace").fill("Not Good")
        _field(page, "Name").fill("sepolia")
        _field(page, "Network").fill("sepolia")
        _field(page, "First block").fill("77")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("Not Good")
        expect(_field(page, "First block")).to_have_value("77")
        _field(page, "Namespace").fill("fresh")
        look(page, "register")
        page.get_by_role("button", name="Register").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("fresh/sepolia")
        manifest = api.get("/datasets/fresh/sepolia/versions/1.0.0/manifest").json()
        assert manifest == generate_manifest("evm-rpc", "sepolia", 77, False).to_json()
        expect(page.get_by_text("No job has worked on it yet: deploy it.")).to_be_visible()
        look(page, "dataset-empty")


def test_a_provider_is_registered_and_replaced_without_showing_its_secrets_and_removed(
    page: Page, api: httpx.Client
) -> None:
    network = f"{_HOSTILE}-{'long' * 30}-שלום"
    page.goto("/#/datasets/providers")
    page.get_by_text("Further settings").click()
    _field(page, "Name").fill("hostile")
    _field(page, "Network").fill(network)
    _field(page, "URL").fill("https://user:hunter2@rpc.example.com/v3/0123456789abcdef")
    _field(page, "Token").fill("s3cret-token")
    _field(page, "Settings").fill("# far behind\nconfirmations = 12\n")
    page.get_by_role("button", name="Register").click()
    row = _row(page, "Providers", "hostile")
    expect(row).to_contain_text(network)
    expect(row).to_contain_text("confirmations12")
    expect(page.locator("body")).not_to_contain_text(re.compile("hunter2|s3cret|0123456789abcdef"))
    look(page, "providers")
    file = 'kind = "evm-rpc"\nnetwork = "sepolia"\nurl = "http://127.0.0.1:1"\n\nconfirmations = 34 # more\n'
    page.get_by_label("Read a provider file").set_input_files(
        {"name": "sepolia.toml", "mimeType": "application/toml", "buffer": file.encode()}
    )
    expect(_field(page, "Network")).to_have_value("sepolia")
    _field(page, "Name").fill("hostile")
    page.get_by_role("button", name="Register").click()
    _confirm(page, "Replace it")
    expect(row).to_contain_text("confirmations34")
    provider = api.get("/providers/hostile").json()
    assert (provider["network"], provider["confirmations"]) == ("sepolia", 34)
    row.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("dialog")).to_contain_text("sepolia")
    _confirm(page, "Remove hostile")
    expect(row).to_have_count(0)
    assert api.get("/providers/hostile").status_code == 404
    assert "ampd" in page.title()


def test_a_dataset_shows_its_tables_as_the_api_tells_them_and_its_manifest_on_demand(
    page: Page, api: httpx.Client, extracted: int
) -> None:
    page.goto("/#/datasets/ethereum/mainnet")
    tables = api.get(f"/jobs/{extracted}/progress").json()["tables"]
    assert set(tables) == {"blocks", "logs", "transactions", "withdrawals"}
    for name, table in tables.items():
        wanted = [f"{table['current_block']:,}", f"{table['row_count']:,}", f"{table['files_count']:,}"]
        expect(_row(page, "Tables", name).get_by_role("cell")).to_contain_text(["revision", *wanted, "iB"])
    jobs = page.get_by_role("table", name="Jobs of ethereum/mainnet")
    expect(jobs.get_by_role("rowheader")).to_contain_text([f"#{extracted}"])
    expect(jobs).to_contain_text("completed")
    look(page, "dataset")
    page.get_by_text("The manifest as JSON").click()
    expect(page.get_by_label("Manifest", exact=True)).to_contain_text('"start_block": 17686110')


def test_the_files_of_a_revision_are_listed_with_their_blocks(page: Page, api: httpx.Client, extracted: int) -> None:
    page.goto("/#/datasets/ethereum/mainnet")
    _row(page, "Tables", "blocks").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"Revision \d+ of blocks"))
    revision_id = re.sub(r".*/", "", page.url)
    files = api.get(f"/revisions/{revision_id}/files").json()["files"]
    expect(page.get_by_role("table", name="Files").get_by_role("rowheader")).to_have_text(
        [f"{each['start_block']:,}" for each in files]
    )
    expect(page.get_by_text(files[0]["file_name"])).to_be_visible()
    look(page, "revision")


def test_the_times_of_a_timetable_are_shown_before_it_is_deployed(
    browser: Browser, dashboard: Dashboard, api: httpx.Client, extracted: int
) -> None:
    with page_at(browser, dashboard.url, [_REFUSED], timezone_id="Europe/Berlin", locale="en-GB") as page:
        page.goto("/#/datasets/ethereum/mainnet/deploy")
        page.get_by_label("By cron").check()
        _field(page, "Cron expression").fill("61 * * * *")
        expect(page.get_by_role("alert")).to_contain_text("cron")
        _field(page, "Cron expression").fill("30 4 * * *")
        _field(page, "Time zone").fill("America/New_York")
        schedule = {"cron": "30 4 * * *", "tz": "America/New_York"}
        times = api.post("/schedules/preview", json={"schedule": schedule, "count": 8}).json()["times"]
        expect(page.locator(".times li")).to_have_count(8)
        for shown, wanted in zip(page.locator(".times li").all(), times, strict=True):
            expect(shown.locator("time")).to_have_attribute("title", f"{wanted['at'][:-1].replace('T', ' ')} UTC")
            expect(shown).to_contain_text("04:30:00")
        berlin = {"10:30:00", "11:30:00"}
        assert {each.inner_text()[-8:] for each in page.locator(".times time").all()} <= berlin
        _field(page, "At most so often").fill("2")
        expect(page.locator(".times li")).to_have_count(2)
        look(page, "deploy")


def test_a_deploy_that_is_refused_keeps_what_was_typed_and_one_that_is_not_leads_to_its_job(
    browser: Browser, dashboard: Dashboard, api: httpx.Client, recorded_node: str
) -> None:
    dashboard.dataset("ethereum/timed", recorded_node, start_block=_FIRST)
    with page_at(browser, dashboard.url, [_REFUSED]) as page:
        page.goto("/#/datasets/ethereum/timed/deploy?version=1.0.0")
        _field(page, "End block").select_option("number")
        _field(page, "Last block").fill(str(_LAST))
        _field(page, "Parallelism").fill("3")
        _field(page, "Worker").fill("not a worker")
        _field(page, "Priority").fill("-2")
        _field(page, "Retries").fill("5")
        page.get_by_label("At an interval").check()
        _field(page, "Every").fill("36")
        _field(page, "Not before").fill("2099-01-01T00:00")
        _field(page, "When it still runs").select_option("queue")
        page.get_by_role("button", name="Deploy").click()
        expect(page.get_by_role("alert")).to_contain_text("not a worker")
        expect(_field(page, "Last block")).to_have_value(str(_LAST))
        _field(page, "Worker").fill("work*")
        page.get_by_role("button", name="Deploy").click()
        link = page.get_by_role("link", name="job #")
        expect(link).to_have_attribute("href", re.compile(r"#/jobs/\d+$"))
        job = api.get(f"/jobs/{str(link.get_attribute('href')).rpartition('/')[2]}").json()
    assert job["dataset"] == {"namespace": "ethereum", "name": "timed", "version": "1.0.0"}
    assert (job["end_block"], job["parallelism"], job["priority"], job["retries"]) == (str(_LAST), 3, -2, 5)
    assert (job["every_ms"], job["schedule"]["overlap"]) == (36 * 3_600_000, "queue")
    assert job["next_run_at"].startswith(("2098-12-31", "2099-01-01"))


@pytest.mark.parametrize(
    ("choice", "typed", "wanted"),
    [("follow", None, None), ("latest", None, "latest"), ("behind", "5", "-5")],
)
@pytest.mark.long
def test_an_end_block_has_all_its_forms(
    page: Page, dashboard: Dashboard, api: httpx.Client, recorded_node: str, choice: str, typed: str, wanted: str
) -> None:
    name = dashboard.dataset(f"ends/{choice}", recorded_node, start_block=_FIRST)
    page.goto(f"/#/datasets/{name}/deploy")
    _field(page, "End block").select_option(choice)
    if typed:
        _field(page, "Blocks behind the newest").fill(typed)
    page.get_by_label("Once, at a time").check()
    _field(page, "At").fill("2099-01-01T00:00")
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("link", name="job #")).to_be_visible()
    (job,) = api.get("/jobs", params={"dataset": name}).json()["jobs"]
    assert (job["end_block"], job["status"], job["recurring"]) == (wanted, "SCHEDULED", False)


def test_a_revision_is_deactivated_activated_and_truncated_each_after_a_question(
    page: Page, dashboard: Dashboard, api: httpx.Client, recorded_node: str
) -> None:
    job_id = dashboard.deployed("ethereum/short", recorded_node, start_block=_FIRST, end_block=_FIRST + 3)
    dashboard.wait_for_status(job_id, "COMPLETED")
    (revision,) = api.get("/revisions", params={"dataset": "ethereum/short", "table_name": "logs"}).json()
    at = f"/revisions/{revision['id']}"
    page.goto(f"/#/datasets/ethereum/short{at}")
    truncate = page.get_by_role("button", name="Truncate …")
    expect(truncate).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Deactivate …", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text(revision["path"])
    _confirm(page, "Cancel")
    assert api.get(at).json()["active"] is True
    page.get_by_role("button", name="Deactivate …", exact=True).click()
    _confirm(page, "Deactivate")
    expect(page.get_by_role("button", name="Activate …", exact=True)).to_be_visible()
    assert api.get(at).json()["active"] is False
    page.get_by_role("button", name="Activate …", exact=True).click()
    _confirm(page, "Activate")
    expect(page.get_by_role("button", name="Deactivate …", exact=True)).to_be_visible()
    assert api.get(at).json()["active"] is True
    page.get_by_role("button", name="Restore …").click()
    _confirm(page, "Restore")
    page.get_by_role("button", name="Prune …").click()
    page.get_by_label("Delete their objects after").fill("0")
    _confirm(page, "Prune")
    expect(page.get_by_text(f"0 files of revision {revision['id']} will be deleted.")).to_be_visible()
    page.get_by_role("button", name="Deactivate …", exact=True).click()
    _confirm(page, "Deactivate")
    expect(truncate).to_have_attribute("aria-disabled", "false")
    truncate.click()
    _confirm(page, "Delete 1 file")
    expect(page.get_by_role("heading", level=1)).to_have_text("ethereum/short")
    assert api.get(at).status_code == 404


def test_a_dataset_is_verified_compacted_restored_and_removed(
    page: Page, dashboard: Dashboard, api: httpx.Client, recorded_node: str
) -> None:
    name = "ethereum/kept"
    job_id = dashboard.deployed(name, recorded_node, start_block=_FIRST, end_block=_FIRST + 3)
    dashboard.wait_for_status(job_id, "COMPLETED")
    page.goto(f"/#/datasets/{name}")
    for action, kind in (("Verify", "verification"), ("Compact", "compaction")):
        page.get_by_role("button", name=f"{action} …").click()
        _confirm(page, action)
        (job,) = api.get("/jobs", params={"dataset": name, "status": "all", "kind": kind}).json()["jobs"]
        expect(page.get_by_text(f"is job #{job['id']}.")).to_be_visible()
        dashboard.wait_for_status(job["id"], "COMPLETED")
    page.get_by_role("button", name="Restore …").click()
    _confirm(page, "Restore")
    expect(page.get_by_text(f"{name}@1.0.0 is restored")).to_be_visible()
    assert api.get(f"/datasets/{name}/versions/1.0.0/restore").json()["state"] == "COMPLETED"
    page.get_by_role("button", name="Remove …").click()
    expect(page.get_by_role("dialog")).to_contain_text("its 1 version 1.0.0")
    _confirm(page, f"Remove {name}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Datasets")
    assert api.get(f"/datasets/{name}").status_code == 404


@pytest.mark.long
def test_who_only_looks_can_change_nothing_and_sees_only_their_namespaces(
    browser: Browser, own_dashboard: Dashboard, recorded_node: str
) -> None:
    own_dashboard.dataset("theirs/mainnet", recorded_node, start_block=_FIRST)
    tokens = _tokens(own_dashboard, viewer={"role": "viewer"}, limited={"role": "viewer", "namespaces": ["empty"]})
    with page_at(browser, own_dashboard.url) as page:
        _sign_in(page, tokens["viewer"])
        page.goto("/#/datasets/theirs/mainnet")
        for action in ("Deploy", "Verify", "Compact", "Restore", "Remove"):
            button = page.get_by_role("button", name=re.compile(f"^{action} …"))
            expect(button).to_have_attribute("aria-disabled", "true")
            expect(button).to_have_attribute("title", re.compile("This needs the role"))
        page.goto("/#/workers")
        expect(page.get_by_role("button", name="Drain")).to_have_attribute("aria-disabled", "true")
        page.goto("/#/datasets/register")
        expect(page.get_by_role("button", name="Register")).to_have_attribute("aria-disabled", "true")
    with page_at(browser, own_dashboard.url) as page:
        _sign_in(page, tokens["limited"])
        page.goto("/#/datasets")
        expect(page.get_by_role("heading", name="No dataset yet")).to_be_visible()
        look(page, "datasets-empty")
        page.goto("/#/datasets/providers")
        expect(page.get_by_text("your token is limited to empty")).to_be_visible()


def _tokens(dashboard: Dashboard, **wanted: dict[str, Any]) -> dict[str, str]:
    """Make tokens, an admin's first: from then on one is needed."""
    with dashboard.api() as api:
        admin = api.post("/tokens", json={"role": "admin"}).json()["token"]
        headers = {"Authorization": f"Bearer {admin}"}
        return {name: api.post("/tokens", json=body, headers=headers).json()["token"] for name, body in wanted.items()}


def _sign_in(page: Page, token: str) -> None:
    page.goto("/")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
