"""The history of a job in pages: over HTTP, through both clients, and by ampctl."""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

import pytest
from admin_api_cluster import Cluster, error

from ampd.client import Ampd, AsyncAmpd
from support.ampctl import run

EVENTS: Final = 2_345
MANY: Final = """
INSERT INTO job_events (job_id, actor, event_type, from_state, execution_number, lease_epoch)
SELECT CASE WHEN n % 2 = 0 THEN %(mine)s ELSE %(other)s END::bigint, 'a', 'RUNNING', 'SCHEDULED', 1, n
FROM generate_series(1, %(count)s::int) AS n
""".replace("n % 2", "n %% 2")


@pytest.fixture
async def job_id(cluster: Cluster) -> int:
    """A job with EVENTS entries, among those of another job."""
    mine, other = await cluster.job_in_state("SCHEDULED", "a/x"), await cluster.job_in_state("SCHEDULED", "a/y")
    await cluster.db.execute(MANY, {"mine": mine, "other": other, "count": 2 * (EVENTS - 1)})
    return mine


async def _all_ids(cluster: Cluster, job_id: int) -> list[int]:
    rows = await cluster.db.fetch_all("SELECT id FROM job_events WHERE job_id = %(id)s ORDER BY id", {"id": job_id})
    assert len(rows) == EVENTS
    return [row["id"] for row in rows]


async def _page(cluster: Cluster, job_id: int, **query: Any) -> dict[str, Any]:
    answer = await cluster.api.get(f"/jobs/{job_id}/events", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    assert page["job_id"] == job_id
    assert {event["job_id"] for event in page["events"]} <= {job_id}
    return page


@pytest.mark.parametrize("limit", [1000, 700, 335])
async def test_pages_run_through_the_whole_history_oldest_first_each_entry_once(
    cluster: Cluster, job_id: int, limit: int
) -> None:
    seen: list[int] = []
    query: dict[str, int] = {"limit": limit}
    while True:
        page = await _page(cluster, job_id, **query)
        ids = [event["id"] for event in page["events"]]
        seen += ids
        if "next_cursor" not in page:
            break
        assert (len(ids), page["next_cursor"]) == (limit, ids[-1])
        query["after"] = page["next_cursor"]
    assert seen == await _all_ids(cluster, job_id)


async def test_without_a_limit_a_page_has_a_thousand_entries(cluster: Cluster, job_id: int) -> None:
    page = await _page(cluster, job_id)
    assert len(page["events"]) == 1000
    assert page["next_cursor"] == page["events"][-1]["id"]


async def test_the_last_page_has_no_cursor_also_when_it_is_full(cluster: Cluster, job_id: int) -> None:
    ids = await _all_ids(cluster, job_id)
    assert "next_cursor" not in await _page(cluster, job_id, after=ids[-11], limit=10)
    assert "next_cursor" in await _page(cluster, job_id, after=ids[-12], limit=10)
    assert "next_cursor" not in await _page(cluster, job_id, after=ids[-11], limit=11)


@pytest.mark.parametrize("after", [10**6, 2**63 - 1])
async def test_after_the_last_entry_there_is_an_empty_page(cluster: Cluster, job_id: int, after: int) -> None:
    assert await _page(cluster, job_id, after=after) == {"job_id": job_id, "events": []}


async def test_a_cursor_of_another_job_is_a_place_in_the_history_too(cluster: Cluster, job_id: int) -> None:
    ids = await _all_ids(cluster, job_id)
    between = ids[5] + 1
    assert between not in ids
    page = await _page(cluster, job_id, after=between, limit=1)
    assert [event["id"] for event in page["events"]] == [ids[6]]


async def test_pages_of_a_removed_job_end_as_those_of_others(cluster: Cluster, job_id: int) -> None:
    await cluster.api.put(f"/jobs/{job_id}/stop")
    assert (await cluster.api.delete(f"/jobs/{job_id}")).status_code == 204
    last = (await _page(cluster, job_id, after=0, limit=1))["next_cursor"]
    page: dict[str, Any] = {"next_cursor": last}
    while "next_cursor" in page:
        page = await _page(cluster, job_id, after=page["next_cursor"])
    assert [event["event_type"] for event in page["events"][-2:]] == ["STOPPED", "DELETED"]
    assert (await _page(cluster, job_id, after=page["events"][-1]["id"]))["events"] == []


BAD: Final = {
    "limit=0": ("LIMIT_INVALID", "greater than 0"),
    "limit=-5": ("LIMIT_INVALID", "greater than 0"),
    "limit=1001": ("LIMIT_TOO_LARGE", "1000"),
    "limit=ten": ("INVALID_QUERY_PARAMETERS", "limit"),
    "limit=": ("INVALID_QUERY_PARAMETERS", "limit"),
    "after=-1": ("INVALID_QUERY_PARAMETERS", "after"),
    "after=x": ("INVALID_QUERY_PARAMETERS", "after"),
    "after=9223372036854775808": ("INVALID_QUERY_PARAMETERS", "after"),
    "before=1": ("INVALID_QUERY_PARAMETERS", "known are limit, after"),
}


@pytest.mark.parametrize("query", BAD)
async def test_a_bad_page_is_refused(cluster: Cluster, query: str) -> None:
    job_id = await cluster.job_in_state("SCHEDULED", "a/x")
    code, words = BAD[query]
    answer = await cluster.api.get(f"/jobs/{job_id}/events?{query}")
    assert error(answer) == (400, code)
    assert words in answer.json()["error_message"]


@pytest.mark.parametrize("query", ["", "?after=0", "?after=7", "?limit=1&after=7"])
async def test_the_history_of_no_job_is_not_found_on_any_page(cluster: Cluster, query: str) -> None:
    await cluster.job_in_state("SCHEDULED", "a/x")
    assert error(await cluster.api.get(f"/jobs/99/events{query}")) == (404, "JOB_NOT_FOUND")


async def test_both_clients_give_pages_and_the_whole(cluster: Cluster, admin_url: str, job_id: int) -> None:
    ids = await _all_ids(cluster, job_id)
    with Ampd(admin_url) as sync:
        async with AsyncAmpd(admin_url) as client:
            assert [event.id for event in sync.jobs.events(job_id)] == ids
            assert [event.id for event in await client.jobs.events(job_id)] == ids
            page = sync.jobs.event_page(job_id, limit=3, after=ids[4])
            assert [event.id for event in page.events] == ids[5:8]
            assert page.next_cursor == ids[7]
            assert await client.jobs.event_page(job_id, limit=3, after=ids[4]) == page
            last = await client.jobs.event_page(job_id, after=ids[-2])
            assert ([event.id for event in last.events], last.next_cursor) == (ids[-1:], None)


async def test_ampctl_shows_a_page_with_its_cursor_or_all_of_it(
    cluster: Cluster, admin_url: str, job_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = await _all_ids(cluster, job_id)

    def ampctl(options: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run(shlex.split(f"job events {options} --admin-url {admin_url}")) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    whole = ampctl(f"{job_id}")
    assert whole.count("\n  [") == EVENTS
    assert "Next cursor" not in whole
    page = ampctl(f"{job_id} --limit 2 --after {ids[3]}")
    assert [f"[{event_id}]" in page for event_id in ids[3:7]] == [False, True, True, False]
    assert page.endswith(f"Next cursor: {ids[5]}\n")
    assert "Next cursor" not in ampctl(f"{job_id} -l 2 -a {ids[-3]}")
    told = json.loads(ampctl(f"{job_id} --limit 2 --json"))
    assert ([event["id"] for event in told["events"]], told["next_cursor"]) == (ids[:2], ids[1])
    assert len(json.loads(ampctl(f"{job_id} --json"))["events"]) == EVENTS
    assert "limit must be greater than 0" in ampctl(f"{job_id} --limit 0", code=1)
    assert "after" in ampctl(f"{job_id} --after=-1", code=1)
    assert "--limit" in ampctl(f"{job_id} --limit few", code=2)
    assert "job '99' not found" in ampctl("99 --after 5", code=1)
