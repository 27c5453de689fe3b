from __future__ import annotations

import re
from typing import Any

import pytest
from admin_api_cluster import Cluster, error

from ampd.errors import AmpError, ErrorCode

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


# What a job that waits has no value for: the fields are there all the same.
UNSET = [
    "worker_id",
    "product",
    "env",
    "started_at",
    "started_at_ms",
    "completed_at",
    "completed_at_ms",
    "cron",
    "tz",
    "every_ms",
    "next_run_at",
    "next_run_at_ms",
    "limit",
    "end_date",
    "end_date_ms",
    "schedule",
    "result",
    "retries",
    "last_error",
    "stop_intent",
    "stop_reason",
]


async def test_a_waiting_job_shows_every_field_of_the_seed_and_of_the_reference_system(cluster: Cluster) -> None:
    manifest_hash = await cluster.register()
    job_id = await cluster.deploy(end_block=100, parallelism=4, worker_id="worker-*", priority=7)
    job = (await cluster.api.get(f"/jobs/{job_id}")).json()
    for key in ("run_at", "created_at", "updated_at", "scheduled_at"):
        assert INSTANT.fullmatch(job.pop(key))
    for key in ("scheduled_at_ms", "created_at_ms", "updated_at_ms"):
        assert isinstance(job.pop(key), int)
    descriptor = {
        "kind": "materialize-raw",
        "end_block": "100",
        "max_writers": 4,
        "dataset_namespace": "ethereum",
        "dataset_name": "mainnet",
        "manifest_hash": manifest_hash,
        "verify": "sample",
    }
    assert job == {
        "id": job_id,
        "status": "SCHEDULED",
        "lifecycle": "queued",
        "kind": "extraction",
        "dataset": {"namespace": "ethereum", "name": "mainnet", "version": "1.0.0"},
        "manifest_hash": manifest_hash,
        "node_id": "",
        "namespace": "extraction",
        "input": descriptor,
        "descriptor": descriptor,
        "end_block": "100",
        "parallelism": 4,
        "priority": 7,
        "labels": {"dataset_version": "1.0.0"},
        "recurring": False,
        "execution_count": 0,
        "execution_number": 1,
        "retry_count": 0,
        "total_retries": 0,
        "depends_on": [],
        "waiting_for": "slot",
        **dict.fromkeys(UNSET),
    }


async def test_a_running_job_names_its_worker_under_both_names(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("RUNNING", "a/x")
    job = (await cluster.api.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["worker_id"], job["node_id"]) == ("RUNNING", "worker-01", "worker-01")


async def test_pages_go_from_the_newest_to_the_oldest_and_only_a_next_page_has_a_cursor(cluster: Cluster) -> None:
    ids = [await cluster.job_in_state("SCHEDULED", f"a/x{number}") for number in range(3)]
    first = (await cluster.api.get("/jobs", params={"limit": 2})).json()
    assert [job["id"] for job in first["jobs"]] == [ids[2], ids[1]]
    assert first["next_cursor"] == ids[1]
    second = (await cluster.api.get("/jobs", params={"limit": 2, "last_job_id": first["next_cursor"]})).json()
    assert [job["id"] for job in second["jobs"]] == [ids[0]]
    assert "next_cursor" not in second
    assert (await cluster.api.get("/jobs", params={"limit": 3})).json().keys() == {"jobs"}


async def test_without_a_filter_only_active_jobs_are_listed_and_filters_take_words_in_any_case(
    cluster: Cluster,
) -> None:
    running = await cluster.job_in_state("RUNNING", "a/x")
    stopped = await cluster.job_in_state("STOPPED", "a/y")
    completed = await cluster.job_in_state("COMPLETED", "a/z")

    async def ids(**params: str) -> list[int]:
        return [job["id"] for job in (await cluster.api.get("/jobs", params=params)).json()["jobs"]]

    assert await ids() == [running]
    assert await ids(status="all") == [completed, stopped, running]
    assert await ids(status="Completed, RUNNING") == [completed, running]
    assert await ids(status="terminal") == [completed, stopped]
    assert await ids(status="cancelled") == [stopped]
    assert await ids(status="error") == await ids(status="failed") == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": "0"}, "LIMIT_INVALID"),
        ({"limit": "-1"}, "LIMIT_INVALID"),
        ({"limit": "1001"}, "LIMIT_TOO_LARGE"),
        ({"limit": "ten"}, "INVALID_QUERY_PARAMETERS"),
        ({"last_job_id": "0"}, "INVALID_QUERY_PARAMETERS"),
        ({"last_job_id": "9223372036854775808"}, "INVALID_QUERY_PARAMETERS"),
        ({"status": "sleeping"}, "INVALID_QUERY_PARAMETERS"),
        ({"state": "running"}, "INVALID_QUERY_PARAMETERS"),
    ],
)
async def test_a_bad_list_parameter_is_refused_with_its_code(
    cluster: Cluster, params: dict[str, str], code: str
) -> None:
    assert error(await cluster.api.get("/jobs", params=params)) == (400, code)


async def test_an_unknown_status_is_answered_with_the_known_ones(cluster: Cluster) -> None:
    message = (await cluster.api.get("/jobs?status=sleeping")).json()["error_message"]
    assert "sleeping" in message
    assert all(word in message for word in ("active", "running", "failed", "error"))


@pytest.mark.parametrize("path", ["/jobs/abc", "/jobs/0", "/jobs/-1", "/jobs/9223372036854775808"])
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("DELETE", ""), ("PUT", "/stop"), ("GET", "/progress"), ("GET", "/events")]
)
async def test_a_bad_job_id_is_refused_everywhere(cluster: Cluster, method: str, path: str, rest: str) -> None:
    assert error(await cluster.api.request(method, path + rest)) == (400, "INVALID_JOB_ID")


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("PUT", "/stop"), ("POST", "/stop"), ("GET", "/progress"), ("GET", "/events/1")]
)
async def test_a_missing_job_is_404_with_the_seeds_words(cluster: Cluster, method: str, rest: str) -> None:
    answer = await cluster.api.request(method, f"/jobs/99{rest}")
    assert error(answer) == (404, "JOB_NOT_FOUND")
    assert answer.json()["error_message"] == "job '99' not found"


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_stop_goes_through_both_methods_and_is_idempotent_to_the_end(cluster: Cluster, method: str) -> None:
    await cluster.register()
    job_id = await cluster.deploy()
    lease = await cluster.start(job_id)

    async def stop() -> str:
        answer = await cluster.api.request(method, f"/jobs/{job_id}/stop")
        assert answer.status_code == 200
        return str(answer.json()["status"])

    assert await stop() == await stop() == "STOP_REQUESTED"
    assert await cluster.leased.acknowledge_stop(lease)
    assert await stop() == "STOPPING"
    assert await cluster.leased.stop(lease)
    assert await stop() == "STOPPED"


async def test_a_running_job_cannot_be_removed_a_finished_one_can_and_a_missing_one_is_a_success(
    cluster: Cluster,
) -> None:
    running = await cluster.job_in_state("RUNNING", "a/x")
    answer = await cluster.api.delete(f"/jobs/{running}")
    assert error(answer) == (409, "JOB_CONFLICT")
    assert f"job '{running}' cannot be deleted from current state: RUNNING" in answer.json()["error_message"]
    completed = await cluster.job_in_state("COMPLETED", "a/y")
    for count in ("1", "0"):
        answer = await cluster.api.delete(f"/jobs/{completed}")
        assert (answer.status_code, answer.content, answer.headers["X-Deleted-Count"]) == (204, b"", count)
    assert (await cluster.api.get(f"/jobs/{completed}")).status_code == 404


async def test_pruning_without_a_status_removes_all_that_ended_and_counts_them(cluster: Cluster) -> None:
    running = await cluster.job_in_state("RUNNING", "a/x")
    await cluster.job_in_state("COMPLETED", "a/y")
    await cluster.job_in_state("STOPPED", "a/z")
    answer = await cluster.api.delete("/jobs")
    assert (answer.status_code, answer.content, answer.headers["X-Deleted-Count"]) == (204, b"", "2")
    assert [job["id"] for job in (await cluster.api.get("/jobs?status=all")).json()["jobs"]] == [running]


@pytest.mark.parametrize(("status", "count"), [("completed", "1"), ("STOPPED", "1"), ("error", "0"), ("terminal", "2")])
async def test_pruning_by_status_removes_only_those(cluster: Cluster, status: str, count: str) -> None:
    await cluster.job_in_state("COMPLETED", "a/y")
    await cluster.job_in_state("STOPPED", "a/z")
    assert (await cluster.api.delete("/jobs", params={"status": status})).headers["X-Deleted-Count"] == count


@pytest.mark.parametrize("status", ["running", "all", "active", "nonsense", "completed,running", ""])
async def test_pruning_what_has_not_ended_is_refused_and_removes_nothing(cluster: Cluster, status: str) -> None:
    await cluster.job_in_state("COMPLETED", "a/y")
    assert error(await cluster.api.delete("/jobs", params={"status": status})) == (400, "INVALID_QUERY_PARAM")
    assert len((await cluster.api.get("/jobs?status=all")).json()["jobs"]) == 1


async def test_a_misspelt_parameter_never_prunes_everything(cluster: Cluster) -> None:
    await cluster.job_in_state("COMPLETED", "a/y")
    assert error(await cluster.api.delete("/jobs?state=stopped")) == (400, "INVALID_QUERY_PARAMETERS")
    assert len((await cluster.api.get("/jobs?status=all")).json()["jobs"]) == 1


async def test_the_public_python_clients_bulk_delete_removes_the_named_jobs_only(cluster: Cluster) -> None:
    named = await cluster.job_in_state("COMPLETED", "a/x")
    other = await cluster.job_in_state("COMPLETED", "a/y")
    answer = await cluster.api.request("DELETE", "/jobs", json={"job_ids": [named, 424242]})
    assert (answer.status_code, answer.headers["X-Deleted-Count"]) == (204, "1")
    assert [job["id"] for job in (await cluster.api.get("/jobs?status=all")).json()["jobs"]] == [other]


async def test_a_bulk_delete_with_a_running_job_removes_none(cluster: Cluster) -> None:
    completed = await cluster.job_in_state("COMPLETED", "a/x")
    running = await cluster.job_in_state("RUNNING", "a/y")
    answer = await cluster.api.request("DELETE", "/jobs", json={"job_ids": [completed, running]})
    assert error(answer) == (409, "JOB_CONFLICT")
    assert len((await cluster.api.get("/jobs?status=all")).json()["jobs"]) == 2


@pytest.mark.parametrize("body", [{}, {"job_ids": ["1"]}, {"job_ids": [1], "force": True}, [1]])
async def test_a_bulk_delete_with_a_bad_body_is_refused(cluster: Cluster, body: Any) -> None:
    assert error(await cluster.api.request("DELETE", "/jobs", json=body)) == (400, "INVALID_BODY")


async def test_a_bulk_delete_takes_either_a_status_or_ids(cluster: Cluster) -> None:
    answer = await cluster.api.request("DELETE", "/jobs?status=completed", json={"job_ids": [1]})
    assert error(answer) == (400, "INVALID_BODY")


async def test_progress_before_the_first_table_is_empty_but_complete(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("SCHEDULED", "a/x")
    assert (await cluster.api.get(f"/jobs/{job_id}/progress")).json() == {
        "job_id": job_id,
        "job_status": "SCHEDULED",
        "tables": {},
        "end_block": None,
        "blocks_per_second": None,
        "eta_seconds": None,
        "gaps": {},
        "gaps_truncated": False,
        "last_error": None,
    }


async def test_progress_counts_the_contiguous_range_and_names_the_gaps(cluster: Cluster) -> None:
    manifest_hash = await cluster.register()
    job_id = await cluster.deploy(end_block="99")
    lease = await cluster.start(job_id)
    await cluster.write(lease, manifest_hash, {"blocks": [(0, 9), (10, 19), (40, 49)], "logs": []})
    assert await cluster.leased.report_progress(lease, {"start_block": 0, "end_block": 99})
    progress = (await cluster.api.get(f"/jobs/{job_id}/progress")).json()
    assert (progress["job_id"], progress["job_status"]) == (job_id, "RUNNING")
    assert progress["tables"] == {
        "blocks": {
            "current_block": 19,
            "start_block": 0,
            "files_count": 2,
            "total_size_bytes": 4096,
            "row_count": 20,
        },
        "logs": {"current_block": None, "start_block": None, "files_count": 0, "total_size_bytes": 0, "row_count": 0},
    }
    assert progress["gaps"] == {"blocks": [[20, 39]], "logs": []}
    assert progress["gaps_truncated"] is False
    assert progress["end_block"] == 99


async def test_progress_shows_at_most_a_hundred_gaps_of_a_table_and_says_so(cluster: Cluster) -> None:
    manifest_hash = await cluster.register()
    job_id = await cluster.deploy()
    lease = await cluster.start(job_id)
    await cluster.write(lease, manifest_hash, {"blocks": [(2 * number, 2 * number) for number in range(102)]})
    progress = (await cluster.api.get(f"/jobs/{job_id}/progress")).json()
    assert len(progress["gaps"]["blocks"]) == 100
    assert progress["gaps"]["blocks"][0] == [1, 1]
    assert progress["gaps_truncated"] is True


async def test_a_failed_job_shows_its_error_as_last_error_and_as_detail(cluster: Cluster) -> None:
    await cluster.register()
    job_id = await cluster.deploy()
    lease = await cluster.start(job_id)
    await cluster.leased.fail(lease, AmpError(ErrorCode.NETWORK_MISMATCH, "another chain", context={"chain_id": 5}))
    job = (await cluster.api.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["lifecycle"]) == ("FAILED", "failed")
    assert job["last_error"]["error_code"] == "NETWORK_MISMATCH"
    progress = (await cluster.api.get(f"/jobs/{job_id}/progress")).json()
    assert progress["last_error"] == progress["detail"] == job["last_error"]
    failed = (await cluster.api.get("/jobs?status=error")).json()["jobs"]
    assert [item["id"] for item in failed] == [job_id]


async def test_the_history_of_a_job_is_listed_and_each_entry_can_be_read(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("RUNNING", "a/x")
    history = (await cluster.api.get(f"/jobs/{job_id}/events")).json()
    assert history["job_id"] == job_id
    assert [event["event_type"] for event in history["events"]] == ["SCHEDULED", "RUNNING"]
    scheduled, running = history["events"]
    assert scheduled["actor"] == "admin-api"
    assert scheduled["node_id"] == ""
    assert running["node_id"] == "worker-01"
    assert running["from_state"] == "SCHEDULED"
    assert INSTANT.fullmatch(running["created_at"])
    assert (await cluster.api.get(f"/jobs/{job_id}/events/{running['id']}")).json() == running


async def test_the_history_of_a_job_is_read_from_its_newest_event_back_too(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("COMPLETED", "a/x")
    oldest_first = (await cluster.api.get(f"/jobs/{job_id}/events")).json()["events"]
    path, backwards = f"/jobs/{job_id}/events?newest_first=true&limit=1", []
    page = (await cluster.api.get(path)).json()
    while "next_cursor" in page:
        backwards += page["events"]
        page = (await cluster.api.get(f"{path}&after={page['next_cursor']}")).json()
    assert backwards + page["events"] == oldest_first[::-1]
    assert len(oldest_first) > 2


async def test_an_event_of_another_job_or_of_no_job_is_not_found(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("SCHEDULED", "a/x")
    answer = await cluster.api.get(f"/jobs/{job_id}/events/424242")
    assert error(answer) == (404, "EVENT_NOT_FOUND")
    assert answer.json()["error_message"] == f"event '424242' not found for job '{job_id}'"
    assert error(await cluster.api.get(f"/jobs/{job_id}/events/x")) == (400, "INVALID_JOB_ID")


async def test_the_history_outlives_the_job(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("COMPLETED", "a/x")
    await cluster.api.delete(f"/jobs/{job_id}")
    events = (await cluster.api.get(f"/jobs/{job_id}/events")).json()["events"]
    assert "COMPLETED" in [event["event_type"] for event in events]
