"""All operations of the reference system's Admin API (control-plane.md, section 5): what they answer when all is well,
and a request for each of their errors, or why there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass(frozen=True)
class Ask:
    """A request: its path, in which ``{name}`` stands for something of the scene, and its body."""

    path: str
    body: Json = None
    text: str | None = None


@dataclass(frozen=True)
class Operation:
    """An operation: how it is called, the status and the shape of its answer, and its errors by their codes. ``never``
    says why we have no use for an error.
    """

    method: str
    path: str
    status: int
    ask: Ask
    answer: Json
    errors: dict[str, tuple[int, Ask]] = field(default_factory=dict)
    never: dict[str, str] = field(default_factory=dict)
    command: str = ""


NO_ID = 2**50
ZEROS = "0" * 64
JOB = {
    "id": 1,
    "created_at": "2026-03-04T10:00:00Z",
    "updated_at": "2026-03-04T10:00:00Z",
    "node_id": "worker-01",
    "status": "RUNNING",
    "descriptor": {"kind": "", "dataset_namespace": "", "dataset_name": "", "manifest_hash": "", "verify": ""},
}
EVENT = {"id": 1, "created_at": "2026-03-04T10:00:00Z", "event_type": "SCHEDULED"}
BEAT = {"node_id": "worker-01", "heartbeat_at": "2026-03-04T10:00:00Z"}
FACTS = {"manifest_hash": "", "kind": "", "start_block": 0, "finalized_blocks_only": False, "tables": [""]}
DATASET = {"namespace": "", "name": "", **FACTS}
REVISION = {
    "id": 1,
    "path": "",
    "active": True,
    "metadata": {"dataset_namespace": "", "dataset_name": "", "manifest_hash": "", "table_name": ""},
}
TABLE = {"dataset": "ethereum/mainnet@1.0.0", "table_name": "blocks"}
NO_TABLE = {**TABLE, "table_name": "calls"}
NO_DATASET = {**TABLE, "dataset": "nowhere/nothing@1.0.0"}
# What runs names a worker first: a deploy waits for it.
INVALID = "what is wrong with a manifest is an INVALID_MANIFEST"
WAITS = "a deploy waits for its worker, and says so: 'no worker' is no error"
HOME = "/datasets/ethereum/mainnet"
NOWHERE = "/datasets/nowhere/nothing"
BAD = "/datasets/Bad-Name/x"


def _bad_job(suffix: str = "") -> tuple[int, Ask]:
    return 400, Ask(f"/jobs/x{suffix}")


def _no_job(suffix: str = "") -> tuple[int, Ask]:
    return 404, Ask(f"/jobs/{NO_ID}{suffix}")


def _of_job(suffix: str = "") -> dict[str, tuple[int, Ask]]:
    return {"INVALID_JOB_ID": _bad_job(suffix), "JOB_NOT_FOUND": _no_job(suffix)}


def _of_revision(suffix: str, body: Json = None) -> dict[str, tuple[int, Ask]]:
    return {"INVALID_PATH_PARAMETERS": (400, Ask(f"/revisions/x{suffix}", body))}


def _no_revision(suffix: str = "") -> tuple[int, Ask]:
    return 404, Ask(f"/revisions/{NO_ID}{suffix}")


OPERATIONS = [
    # 5.2 Jobs, 5.3 Progress
    Operation(
        "GET",
        "/jobs",
        200,
        Ask("/jobs?status=scheduled,RUNNING&limit=1"),
        {"jobs": [JOB], "next_cursor": 1},
        {
            "INVALID_QUERY_PARAMETERS": (400, Ask("/jobs?last_job_id=0")),
            "LIMIT_TOO_LARGE": (400, Ask("/jobs?limit=1001")),
            "LIMIT_INVALID": (400, Ask("/jobs?limit=0")),
        },
        command="job list",
    ),
    Operation("GET", "/jobs/{id}", 200, Ask("/jobs/{running}"), JOB, _of_job(), command="job inspect"),
    Operation(
        "PUT",
        "/jobs/{id}/stop",
        200,
        Ask("/jobs/{stopping}/stop"),
        {"id": 1, "status": ""},
        _of_job("/stop"),
        command="job stop",
    ),
    Operation(
        "GET",
        "/jobs/{id}/progress",
        200,
        Ask("/jobs/{running}/progress"),
        {
            "job_id": 1,
            "job_status": "RUNNING",
            "tables": {"blocks": {"current_block": 9, "start_block": 0, "files_count": 1, "total_size_bytes": 1}},
        },
        _of_job("/progress"),
        command="job progress",
    ),
    Operation(
        "GET",
        "/jobs/{id}/events",
        200,
        Ask("/jobs/{running}/events"),
        {"job_id": 1, "events": [EVENT]},
        _of_job("/events"),
        command="job events",
    ),
    Operation(
        "GET",
        "/jobs/{id}/events/{event_id}",
        200,
        Ask("/jobs/{running}/events/{event}"),
        {**EVENT, "job_id": 1, "detail": {}},
        {
            "INVALID_JOB_ID": (400, Ask("/jobs/{running}/events/x")),
            "JOB_NOT_FOUND": _no_job("/events/1"),
            "EVENT_NOT_FOUND": (404, Ask(f"/jobs/{{running}}/events/{NO_ID}")),
        },
        command="job events",
    ),
    Operation(
        "DELETE",
        "/jobs/{id}",
        204,
        Ask("/jobs/{completed}"),
        None,
        {"INVALID_JOB_ID": _bad_job(), "JOB_CONFLICT": (409, Ask("/jobs/{running}"))},
        command="job rm",
    ),
    Operation(
        "DELETE",
        "/jobs",
        204,
        Ask("/jobs?status=Error"),
        None,
        {"INVALID_QUERY_PARAM": (400, Ask("/jobs?status=running"))},
        command="job prune",
    ),
    # 5.4 Workers
    Operation("GET", "/workers", 200, Ask("/workers"), {"workers": [BEAT]}, command="worker list"),
    Operation(
        "GET",
        "/workers/{id}",
        200,
        Ask("/workers/worker-01"),
        {**BEAT, "created_at": "", "registered_at": "", "info": {"version": "", "commit_sha": "", "build_date": ""}},
        {
            "INVALID_WORKER_ID": (400, Ask("/workers/1-worker")),
            "WORKER_NOT_FOUND": (404, Ask("/workers/nobody")),
        },
        command="worker inspect",
    ),
    # 5.5 Datasets
    Operation(
        "GET",
        "/datasets",
        200,
        Ask("/datasets"),
        {"datasets": [{"namespace": "", "name": "", "versions": [""]}]},
        command="dataset list",
    ),
    Operation(
        "POST",
        "/datasets",
        201,
        Ask("/datasets", {"namespace": "n", "name": "d", "version": "1.0.0", "manifest": "{hash}"}),
        {**DATASET, "version": "1.0.0"},
        {
            "INVALID_PAYLOAD_FORMAT": (400, Ask("/datasets", text="{")),
            "INVALID_MANIFEST": (400, Ask("/datasets", {"namespace": "n", "name": "d", "manifest": {}})),
            "MANIFEST_NOT_FOUND": (404, Ask("/datasets", {"namespace": "n", "name": "d", "manifest": ZEROS})),
        },
        {"MANIFEST_VALIDATION_ERROR": INVALID},
        command="dataset register",
    ),
    Operation(
        "GET",
        "/datasets/{namespace}/{name}/versions",
        200,
        Ask(f"{HOME}/versions"),
        {
            "namespace": "",
            "name": "",
            "versions": [{"version": "", "manifest_hash": "", "created_at": "", "updated_at": ""}],
            "special_tags": {"latest": "", "dev": ""},
        },
        {"INVALID_PATH": (400, Ask(f"{BAD}/versions"))},
        command="dataset versions",
    ),
    Operation(
        "GET",
        "/datasets/{namespace}/{name}/versions/{revision}",
        200,
        Ask(f"{HOME}/versions/latest"),
        {**DATASET, "revision": "latest"},
        {
            "INVALID_PATH": (400, Ask(f"{BAD}/versions/1.0.0")),
            "DATASET_NOT_FOUND": (404, Ask(f"{HOME}/versions/9.9.9")),
        },
        command="dataset inspect",
    ),
    Operation(
        "GET",
        "/datasets/{namespace}/{name}/versions/{revision}/manifest",
        200,
        Ask(f"{HOME}/versions/{{hash}}/manifest"),
        {"kind": "", "network": "", "tables": {}},
        {
            "INVALID_PATH": (400, Ask(f"{BAD}/versions/1.0.0/manifest")),
            "DATASET_NOT_FOUND": (404, Ask(f"{NOWHERE}/versions/1.0.0/manifest")),
        },
        {"MANIFEST_NOT_FOUND": "a manifest that a dataset is linked to is never deleted"},
        command="dataset manifest",
    ),
    Operation(
        "POST",
        "/datasets/{namespace}/{name}/versions/{revision}/deploy",
        202,
        Ask("/datasets/a/waits/versions/1.0.0/deploy", {"end_block": None, "parallelism": 1, "worker_id": None}),
        {"job_id": 1},
        {
            "INVALID_PATH": (400, Ask(f"{BAD}/versions/1.0.0/deploy", {})),
            "INVALID_BODY": (400, Ask(f"{HOME}/versions/1.0.0/deploy", {"parallelism": 0})),
            "DATASET_NOT_FOUND": (404, Ask(f"{NOWHERE}/versions/1.0.0/deploy", {})),
            "ACTIVE_JOB_CONFLICT": (409, Ask(f"{HOME}/versions/1.0.0/deploy", {"end_block": "5"})),
        },
        {"WORKER_NOT_AVAILABLE": WAITS},
        command="dataset deploy",
    ),
    Operation(
        "GET",
        "/datasets/{namespace}/{name}/versions/{revision}/jobs",
        200,
        Ask(f"{HOME}/versions/1.0.0/jobs"),
        {"jobs": [JOB]},
        {
            "INVALID_PATH": (400, Ask(f"{BAD}/versions/1.0.0/jobs")),
            "DATASET_NOT_FOUND": (404, Ask(f"{NOWHERE}/versions/1.0.0/jobs")),
        },
        command="dataset jobs",
    ),
    Operation(
        "POST",
        "/datasets/{namespace}/{name}/versions/{revision}/restore",
        202,
        Ask("/datasets/lost/all/versions/1.0.0/restore"),
        {"tables": [{"table_name": "", "location_id": 1, "url": ""}]},
        {
            "INVALID_PATH": (400, Ask(f"{BAD}/versions/1.0.0/restore")),
            "DATASET_NOT_FOUND": (404, Ask(f"{NOWHERE}/versions/1.0.0/restore")),
            "TABLE_NOT_FOUND": (404, Ask("/datasets/a/waits/versions/1.0.0/restore")),
        },
        command="dataset restore",
    ),
    Operation(
        "POST",
        "/datasets/{namespace}/{name}/versions/{revision}/tables/{table}/restore",
        200,
        Ask("/datasets/lost/all/versions/1.0.0/tables/logs/restore", {"location_id": "{logs}"}),
        None,
        {
            "INVALID_PATH": (400, Ask(f"{BAD}/versions/1.0.0/tables/blocks/restore")),
            "INVALID_BODY": (400, Ask(f"{HOME}/versions/1.0.0/tables/blocks/restore", {"location_id": "x"})),
            "DATASET_NOT_FOUND": (404, Ask(f"{NOWHERE}/versions/1.0.0/tables/blocks/restore")),
            "TABLE_NOT_IN_MANIFEST": (404, Ask(f"{HOME}/versions/1.0.0/tables/calls/restore")),
            "REVISION_NOT_FOUND": (
                404,
                Ask("/datasets/lost/all/versions/1.0.0/tables/logs/restore", {"location_id": NO_ID}),
            ),
            "TABLE_NOT_FOUND": (404, Ask("/datasets/a/waits/versions/1.0.0/tables/blocks/restore")),
        },
        command="dataset restore",
    ),
    # 5.6 Manifests
    Operation(
        "GET",
        "/manifests",
        200,
        Ask("/manifests"),
        {"manifests": [{"hash": "", "kind": "", "dataset_count": 1}]},
        command="manifest list",
    ),
    Operation(
        "POST",
        "/manifests",
        201,
        Ask("/manifests", "{manifest}"),
        {"hash": ""},
        {
            "INVALID_PAYLOAD_FORMAT": (400, Ask("/manifests", text="{")),
            "INVALID_MANIFEST": (400, Ask("/manifests", {"kind": "gif"})),
        },
        {"MANIFEST_VALIDATION_ERROR": INVALID},
        command="manifest register",
    ),
    Operation(
        "GET",
        "/manifests/{hash}",
        200,
        Ask("/manifests/{hash}"),
        {"kind": "", "network": "", "tables": {}},
        {"INVALID_HASH": (400, Ask("/manifests/beef")), "MANIFEST_NOT_FOUND": (404, Ask(f"/manifests/{ZEROS}"))},
        command="manifest inspect",
    ),
    Operation(
        "GET",
        "/manifests/{hash}/datasets",
        200,
        Ask("/manifests/{hash}/datasets"),
        {"hash": "", "datasets": [{"namespace": "", "name": "", "version": ""}]},
        {
            "INVALID_HASH": (400, Ask("/manifests/beef/datasets")),
            "MANIFEST_NOT_FOUND": (404, Ask(f"/manifests/{ZEROS}/datasets")),
        },
        command="manifest datasets",
    ),
    Operation(
        "DELETE",
        "/manifests/{hash}",
        204,
        Ask(f"/manifests/{ZEROS}"),
        None,
        {"INVALID_HASH": (400, Ask("/manifests/beef")), "MANIFEST_LINKED": (409, Ask("/manifests/{hash}"))},
        command="manifest rm",
    ),
    Operation("DELETE", "/manifests", 200, Ask("/manifests"), {"deleted_count": 1}, command="manifest prune"),
    # 5.7 Providers
    Operation(
        "GET",
        "/providers",
        200,
        Ask("/providers"),
        {"providers": [{"name": "", "kind": "", "network": ""}]},
        command="provider list",
    ),
    Operation(
        "POST",
        "/providers",
        201,
        Ask("/providers", {"name": "other", "kind": "evm-rpc", "network": "other", "url": "http://127.0.0.1:1"}),
        None,
        {
            "INVALID_REQUEST_BODY": (400, Ask("/providers", {"kind": "evm-rpc"})),
            "DATA_CONVERSION_ERROR": (
                400,
                Ask("/providers", {"name": "other", "kind": "evm-rpc", "network": None, "url": "http://127.0.0.1:1"}),
            ),
        },
        command="provider register",
    ),
    Operation(
        "GET",
        "/providers/{name}",
        200,
        Ask("/providers/mainnet"),
        {"name": "", "kind": "", "network": "", "url": ""},
        {
            "INVALID_PROVIDER_NAME": (400, Ask("/providers/No%20Name")),
            "PROVIDER_NOT_FOUND": (404, Ask("/providers/nobody")),
        },
        command="provider inspect",
    ),
    Operation(
        "DELETE",
        "/providers/{name}",
        204,
        Ask("/providers/other"),
        None,
        {"INVALID_PROVIDER_NAME": (400, Ask("/providers/No%20Name"))},
        command="provider rm",
    ),
    # 5.8 Revisions
    Operation(
        "GET",
        "/revisions",
        200,
        Ask("/revisions?active=true&limit=2"),
        [REVISION],
        {"INVALID_QUERY_PARAMETERS": (400, Ask("/revisions?active=perhaps"))},
        command="table list",
    ),
    Operation(
        "POST",
        "/revisions",
        200,
        Ask("/revisions", {"dataset": "a/waits@1.0.0", "table_name": "blocks", "path": "a/waits/blocks/by-hand"}),
        {"location_id": 1},
        {"DATASET_NOT_FOUND": (404, Ask("/revisions", {**NO_DATASET, "path": "a/b/blocks/x"}))},
        command="table register",
    ),
    Operation(
        "GET",
        "/revisions/{id}",
        200,
        Ask("/revisions/{busy}"),
        {**REVISION, "writer": 1},
        {**_of_revision(""), "REVISION_NOT_FOUND": _no_revision()},
        command="table get",
    ),
    Operation(
        "POST",
        "/revisions/deactivate",
        200,
        Ask("/revisions/deactivate", {"dataset": "lost/all@1.0.0", "table_name": "logs"}),
        None,
        {
            "DATASET_NOT_FOUND": (404, Ask("/revisions/deactivate", NO_DATASET)),
            "TABLE_NOT_FOUND": (404, Ask("/revisions/deactivate", {"dataset": "a/waits@1.0.0", "table_name": "logs"})),
        },
        command="table deactivate",
    ),
    Operation(
        "POST",
        "/revisions/{id}/activate",
        200,
        Ask("/revisions/{logs}/activate", {"dataset": "lost/all@1.0.0", "table_name": "logs"}),
        None,
        {
            **_of_revision("/activate", TABLE),
            "DATASET_NOT_FOUND": (404, Ask("/revisions/{logs}/activate", NO_DATASET)),
            "TABLE_NOT_IN_MANIFEST": (404, Ask("/revisions/{logs}/activate", NO_TABLE)),
            "TABLE_NOT_REGISTERED": (404, Ask("/revisions/{logs}/activate", TABLE)),
        },
        command="table activate",
    ),
    Operation(
        "POST",
        "/revisions/{id}/restore",
        200,
        Ask("/revisions/{logs}/restore"),
        {"total_files": 1},
        {**_of_revision("/restore"), "REVISION_NOT_FOUND": _no_revision("/restore")},
        command="table restore",
    ),
    Operation(
        "DELETE",
        "/revisions/{id}/prune",
        200,
        Ask("/revisions/{logs}/prune?before_block=5&gc_delay_secs=60"),
        {"files_scheduled": 0, "gc_delay_secs": 60},
        {
            **_of_revision("/prune"),
            "INVALID_QUERY_PARAMETERS": (400, Ask("/revisions/{logs}/prune?before_block=x")),
            "REVISION_NOT_FOUND": _no_revision("/prune"),
            "WRITER_JOB_NOT_TERMINAL": (409, Ask("/revisions/{busy}/prune")),
        },
        command="table prune",
    ),
    Operation(
        "DELETE",
        "/revisions/{id}/truncate",
        200,
        Ask("/revisions/{idle}/truncate?concurrency=1"),
        {"files_deleted": 0},
        {
            **_of_revision("/truncate"),
            "INVALID_QUERY_PARAMETERS": (400, Ask("/revisions/{idle}/truncate?concurrency=0")),
            "REVISION_NOT_FOUND": _no_revision("/truncate"),
            "REVISION_IS_ACTIVE": (409, Ask("/revisions/{logs}/truncate")),
            "WRITER_JOB_NOT_TERMINAL": (409, Ask("/revisions/{busy_idle}/truncate")),
        },
        {"FILE_METADATA_REMAINING": "it is for files that come in the very moment of the deletion"},
        command="table truncate",
    ),
    Operation(
        "DELETE",
        "/revisions/{id}",
        204,
        Ask("/revisions/{idle_2}"),
        None,
        {
            **_of_revision(""),
            "REVISION_NOT_FOUND": _no_revision(),
            "REVISION_IS_ACTIVE": (409, Ask("/revisions/{logs}")),
            "WRITER_JOB_NOT_TERMINAL": (409, Ask("/revisions/{busy_idle}")),
        },
        command="table delete",
    ),
    # 5.9 Files, schema
    Operation(
        "GET",
        "/files/{file_id}",
        200,
        Ask("/files/{file}"),
        {"id": 1, "location_id": 1, "file_name": "", "url": "", "object_size": 1, "metadata": {}},
        {"INVALID_FILE_ID": (400, Ask("/files/x")), "FILE_NOT_FOUND": (404, Ask(f"/files/{NO_ID}"))},
        command="table file",
    ),
    # What takes something away for good.
    Operation(
        "DELETE",
        "/datasets/{namespace}/{name}/versions/{revision}",
        204,
        Ask("/datasets/lost/all/versions/0.9.0"),
        None,
        {
            "INVALID_PATH": (400, Ask(f"{BAD}/versions/1.0.0")),
            "CANNOT_DELETE_LATEST_VERSION": (400, Ask(f"{HOME}/versions/1.0.0")),
        },
        command="dataset rm",
    ),
    Operation(
        "DELETE",
        "/datasets/{namespace}/{name}",
        204,
        Ask("/datasets/lost/all"),
        None,
        {"INVALID_PATH": (400, Ask(BAD))},
        command="dataset rm",
    ),
]
