"""The overview: what a cluster does at a glance, as the Admin API tells it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import NARROW, check_fits, look, page_at
from support.daemons import free_port, wait_for
from support.dashboard import Dashboard
from support.nodes import FIRST_BLOCK, LAST_BLOCK, replay_process

HOSTILE = "<img src=x onerror=document.title='taken'> \u202etxet\u202c " + "x" * 300
# An hour with a gap in its middle, that begins 70 minutes ago; what the controller itself counts comes after it.
_HISTORY = """
WITH minutes AS (
    SELECT date_trunc('minute', now()) - make_interval(mins => n) AS at, n
    FROM generate_series(6, 70) n WHERE n NOT BETWEEN 30 AND 35
), jobs AS (
    INSERT INTO job_minutes (at, namespace, retries, failures, durations)
    SELECT at, '*', n % 4, n % 7 / 6, jsonb_build_object('0', 3, (n % 20)::text, 1) FROM minutes
), lag AS (
    INSERT INTO lag_minutes (at, namespace, lag_blocks) SELECT at, '*', 2000 + n * 30 FROM minutes
)
INSERT INTO lake_minutes (at, namespace, blocks, row_count, bytes)
SELECT at, '*', 12000 + 100 * n, 5000000 + 40000 * n, 130000000 + 1000000 * n FROM minutes
"""
_OLD = "DELETE FROM {table} WHERE at < date_trunc('minute', now()) - interval '5 minutes'"


def overview(dashboard: Dashboard) -> dict[str, Any]:
    with dashboard.api() as api:
        return dict(api.get("/overview").json())


def history(dashboard: Dashboard, minutes: int) -> dict[str, Any]:
    with dashboard.api() as api:
        return dict(api.get("/overview/history", params={"minutes": minutes}).json())


@pytest.fixture(scope="module")
def busy(
    dashboard: Dashboard, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A cluster with a dataset, a job that failed with a hostile text, and an hour of history."""
    log = tmp_path_factory.mktemp("node") / "node.log"
    with replay_process(log) as node:
        done = dashboard.deployed("ethereum/mainnet", node, start_block=FIRST_BLOCK, end_block=LAST_BLOCK)
        failed = dashboard.create("http", {"url": f"http://127.0.0.1:{free_port()}/"}, retries=0)
        dashboard.wait_for_status(done, "COMPLETED")
        dashboard.wait_for_status(failed, "FAILED")
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        error = "error = jsonb_set(error, '{error_message}', to_jsonb(%s::text))"
        connection.execute(f"UPDATE job_executions SET {error} WHERE job_id = %s", (HOSTILE, failed))
        for table in ("job_minutes", "lag_minutes", "lake_minutes"):
            connection.execute(_OLD.format(table=table))  # type: ignore[arg-type]
        connection.execute(_HISTORY)
    yield dashboard


def test_an_empty_cluster_says_what_to_do_first(page: Page) -> None:
    page.goto("/#/")
    steps = page.get_by_role("region", name="First steps")
    expect(steps).to_contain_text("ampctl dataset deploy ethereum/mainnet@1.0.0")
    expect(page.get_by_text("Nothing has failed within a day.")).to_be_visible()
    look(page, "overview-empty")


def test_it_shows_what_the_api_tells_and_leads_there(page: Page, busy: Dashboard) -> None:
    wait_for("the lag to be known", lambda: overview(busy)["datasets"], timeout=60)
    page.goto("/#/")
    told = overview(busy)
    expect(page.get_by_role("region", name="First steps")).to_have_count(0)
    jobs = page.get_by_role("region", name="Jobs", exact=True)
    for state, count in told["jobs"]["by_state"].items():
        if count:
            link = jobs.get_by_role("link", name=f"{state.lower()} {count}")
            expect(link).to_have_attribute("href", f"#/jobs?state={state}")
    (dataset,) = told["datasets"]
    lag = page.get_by_role("row", name="ethereum/mainnet")
    expect(lag).to_contain_text(f"{dataset['front_block']:,}")
    expect(lag.get_by_role("link", name="ethereum/mainnet")).to_have_attribute("href", "#/datasets/ethereum/mainnet")
    (failure,) = told["failures"]
    failed = page.get_by_role("row", name=failure["error_code"])
    expect(failed).to_contain_text("<img src=x")
    expect(failed.get_by_role("link")).to_have_attribute("href", f"#/jobs/{failure['job_id']}")
    (worker,) = told["workers"]
    row = page.get_by_role("row", name=f"{worker['node_id']} live")
    expect(row).to_contain_text(f"0 of {worker['slots']}")
    expect(row).to_contain_text("now")
    expect(row.get_by_role("link")).to_have_attribute("href", f"#/workers/{worker['node_id']}")
    expect(page.locator("canvas")).to_have_count(6)
    look(page, "overview")
    assert page.title() == "Overview · ampd"


def test_a_job_that_is_made_meanwhile_is_counted_without_a_reload(page: Page, busy: Dashboard) -> None:
    page.goto("/#/")
    jobs = page.get_by_role("region", name="Jobs", exact=True)
    expect(jobs.get_by_role("link", name="failed 1")).to_be_visible()
    expect(jobs.get_by_role("link", name="scheduled")).to_have_count(0)
    later = busy.create("http", {"url": "http://127.0.0.1:1/"}, start_at="2099-01-01T00:00:00Z")
    expect(jobs.get_by_role("link", name="scheduled 1")).to_be_visible()
    with busy.api() as api:
        api.post(f"/jobs/{later}/cancel")
    expect(jobs.get_by_role("link", name="scheduled")).to_have_count(0)


def test_charts_have_their_numbers_in_a_table_and_the_range_in_the_address(page: Page, busy: Dashboard) -> None:
    page.goto("/#/?range=6h")
    ranges = page.get_by_role("navigation", name="Time range")
    expect(ranges.get_by_role("link", name="6 h")).to_have_attribute("aria-current", "true")
    ranges.get_by_role("link", name="1 h", exact=True).click()
    expect(page).to_have_url(f"{busy.url}/#/?range=1h")
    chart = page.get_by_role("figure").filter(has_text="Blocks per second")
    chart.locator("summary").press("Enter")
    told = history(busy, 60)
    cells = chart.get_by_role("row")
    expect(cells).to_have_count(61)
    shown = {row.locator("time").get_attribute("datetime"): row.locator("td").inner_text() for row in cells.all()[1:]}
    known = dict(zip(told["at"], told["blocks_per_second"], strict=True))
    compared = 0
    for moment, text in shown.items():
        second = page.evaluate("(moment) => Date.parse(moment) / 1000", moment)
        if known.get(second) is None:
            assert text == "–" or second not in known
        else:
            assert float(text.removesuffix("/s")) == pytest.approx(known[second], abs=1)
            compared += 1
    assert compared > 30
    assert "–" in shown.values()


def test_a_chart_is_sharp_has_gaps_and_follows_light_and_dark_at_once(browser: Browser, busy: Dashboard) -> None:
    with page_at(browser, busy.url, device_scale_factor=2) as page:
        page.goto("/#/")
        canvas = page.get_by_role("figure").filter(has_text="Lag behind the head").locator("canvas")
        expect(canvas).to_be_visible()
        size = canvas.evaluate("(canvas) => [canvas.width, canvas.clientWidth]")
        assert size[0] == 2 * size[1]
        ((light, columns),) = _drawn(page).items()
        assert max(after - before for before, after in pairwise(columns)) > 20  # minutes of which nothing is known
        page.emulate_media(color_scheme="dark")
        is_other = "all.length > 0 && all.every(([name]) => name !== before)"
        page.wait_for_function(f"(before) => {{ const all = ({_DRAWN})(); return {is_other}; }}", arg=light)
        page.set_viewport_size(NARROW)  # type: ignore[arg-type]
        page.wait_for_function(
            "() => [...document.querySelectorAll('canvas')].every((canvas) => canvas.clientWidth <= 330)"
        )
        check_fits(page)


# What is drawn of the line of lags: its colours, each with the columns of the picture in which it is.
_DRAWN = """() => {
  const figures = [...document.querySelectorAll('figure')];
  const canvas = figures.find((one) => one.textContent.includes('Lag behind')).querySelector('canvas');
  if (canvas === null) return [];
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const columns = new Map();
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.slice(at, at + 4);
    if (alpha === 255 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) {
      const name = `${red},${green},${blue}`;
      columns.set(name, (columns.get(name) ?? new Set()).add(at / 4 % canvas.width));
    }
  }
  return [...columns].filter(([, all]) => all.size > 100).map(([name, all]) => [name, [...all].sort((a, b) => a - b)]);
}"""


def _drawn(page: Page) -> dict[str, list[int]]:
    page.wait_for_function(f"() => ({_DRAWN})().length > 0")
    return dict(page.evaluate(_DRAWN))
