from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from admin_api_cluster import Cluster

from ampd import __version__
from ampd.admin_api import specification
from ampd.admin_api.bodies import (
    job_models,
    lake_models,
    live_models,
    models,
    overview_models,
    range_models,
    schedule_models,
    schema_models,
    session_models,
    token_models,
    webhook_models,
)
from ampd.admin_api.openapi.document import specification_text

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"
OPERATIONS = {
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/events": {"get"},
    "/live": {"get"},
    "/metrics": {"get"},
    "/jobs": {"get", "post", "delete"},
    "/jobs/stats": {"get"},
    "/jobs/cancel": {"post"},
    "/jobs/pause": {"post"},
    "/jobs/resume": {"post"},
    "/jobs/retry": {"post"},
    "/jobs/delete": {"post"},
    "/jobs/{id}/next": {"get"},
    "/jobs/{id}/reschedule": {"post"},
    "/schedules/preview": {"post"},
    "/jobs/{id}": {"get", "delete"},
    "/jobs/{id}/cancel": {"post"},
    "/jobs/{id}/pause": {"post"},
    "/jobs/{id}/resume": {"post"},
    "/jobs/{id}/retry": {"post"},
    "/overview": {"get"},
    "/overview/history": {"get"},
    "/jobs/{id}/history": {"get"},
    "/jobs/{id}/stop": {"put", "post"},
    "/jobs/{id}/progress": {"get"},
    "/jobs/{id}/ranges": {"get"},
    "/jobs/{id}/events": {"get"},
    "/jobs/{id}/events/{event_id}": {"get"},
    "/manifests/generate": {"post"},
    "/workers": {"get"},
    "/workers/{id}": {"get"},
    "/workers/{id}/drain": {"post"},
    "/workers/{id}/undrain": {"post"},
    "/datasets": {"get", "post"},
    "/datasets/{namespace}/{name}": {"get", "delete"},
    "/datasets/{namespace}/{name}/versions": {"get"},
    "/datasets/{namespace}/{name}/versions/{revision}": {"get", "delete"},
    "/datasets/{namespace}/{name}/versions/{revision}/manifest": {"get"},
    "/datasets/{namespace}/{name}/versions/{revision}/deploy": {"post"},
    "/datasets/{namespace}/{name}/versions/{revision}/verify": {"post"},
    "/datasets/{namespace}/{name}/versions/{revision}/jobs": {"get"},
    "/datasets/{namespace}/{name}/versions/{revision}/restore": {"get", "post"},
    "/datasets/{namespace}/{name}/versions/{revision}/tables/{table}/restore": {"post"},
    "/manifests": {"get", "post", "delete"},
    "/manifests/{hash}": {"get", "delete"},
    "/manifests/{hash}/datasets": {"get"},
    "/providers": {"get", "post"},
    "/providers/{name}": {"get", "delete"},
    "/session": {"get", "post", "delete"},
    "/tokens": {"get", "post"},
    "/tokens/{id}": {"delete"},
    "/revisions": {"get", "post"},
    "/revisions/deactivate": {"post"},
    "/revisions/{id}": {"get", "delete"},
    "/revisions/{id}/files": {"get"},
    "/revisions/{id}/activate": {"post"},
    "/revisions/{id}/restore": {"post"},
    "/revisions/{id}/truncate": {"delete"},
    "/revisions/{id}/prune": {"delete"},
    "/files/{file_id}": {"get"},
    "/schema": {"post"},
    "/webhooks": {"get", "post"},
    "/webhooks/by-url": {"put"},
    "/webhooks/{id}": {"get", "patch", "delete"},
    "/webhooks/{id}/rotate": {"post"},
    "/webhooks/{id}/test": {"post"},
    "/webhooks/{id}/deliveries": {"get"},
    "/webhooks/{id}/deliveries/{delivery_id}": {"get"},
    "/webhooks/{id}/deliveries/{delivery_id}/replay": {"post"},
    "/webhooks/{id}/replay": {"post"},
}


def test_the_reference_in_the_documentation_is_the_specification_of_this_code() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == specification_text(), (
        "write it again: python -m ampd.admin_api.openapi.document > docs/reference/openapi.json"
    )


def test_the_specification_has_every_operation_and_no_answer_that_we_never_give() -> None:
    document = specification(__version__)
    assert document["openapi"].startswith("3.1.")
    assert {path: set(operations) for path, operations in document["paths"].items()} == OPERATIONS
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            for answer in errors.values():
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorBody"}


def test_every_reference_inside_the_specification_leads_somewhere() -> None:
    document = specification(__version__)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    used = set(_references(document))
    assert used
    assert used <= known


def test_bounds_of_numbers_are_exact_and_have_the_names_of_json_schema() -> None:
    document = specification(__version__)
    (job_id,) = document["paths"]["/jobs/{id}"]["get"]["parameters"]
    assert job_id["schema"]["maximum"] == 2**63 - 1
    retry = document["components"]["schemas"]["RetryRequest"]["properties"]
    assert (retry["jitter"]["minimum"], retry["jitter"]["maximum"]) == (0, 1)
    assert not {"ge", "le", "gt", "lt"} & set(_keys(document["components"]["schemas"]))


def _keys(node: Any) -> list[str]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [*(node if isinstance(node, dict) else []), *(key for item in inner for key in _keys(item))]


def test_what_is_made_leads_to_what_can_be_done_with_it() -> None:
    paths = specification(__version__)["paths"]
    of_jobs = {
        operation["operationId"]
        for path, operations in paths.items()
        if path.startswith("/jobs/{id}") and "{event_id}" not in path
        for operation in operations.values()
    }
    links = paths["/jobs"]["post"]["responses"]["201"]["links"]
    assert set(links) == of_jobs
    assert links["stop_job"] == {"operationId": "stop_job", "parameters": {"id": "$response.body#/id"}}
    page = paths["/jobs"]["get"]["responses"]["200"]["links"]["next_page"]
    assert page == {"operationId": "list_jobs", "parameters": {"last_job_id": "$response.body#/next_cursor"}}


def test_every_link_gives_what_the_path_of_its_operation_needs_and_only_parameters_that_it_has() -> None:
    paths = specification(__version__)["paths"]
    parameters = {
        operation["operationId"]: operation.get("parameters", [])
        for operations in paths.values()
        for operation in operations.values()
    }
    links = [
        link
        for operations in paths.values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(links) > 100
    for link in links:
        of_target = parameters[link["operationId"]]
        assert set(link["parameters"]) <= {each["name"] for each in of_target}, link
        assert {each["name"] for each in of_target if each["in"] == "path"} <= set(link["parameters"]), link


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []


def test_the_examples_of_answers_are_true_ones() -> None:
    checked = 0
    for model in (
        vars(models)
        | vars(job_models)
        | vars(lake_models)
        | vars(live_models)
        | vars(overview_models)
        | vars(range_models)
        | vars(schedule_models)
        | vars(schema_models)
        | vars(session_models)
        | vars(token_models)
        | vars(webhook_models)
    ).values():
        if isinstance(model, type) and issubclass(model, models.BaseModel) and model is not models.BaseModel:
            extra = model.model_config.get("json_schema_extra")
            for example in extra["examples"] if isinstance(extra, dict) else []:
                answer = model.model_validate(example).model_dump(mode="json", exclude_unset=True, by_alias=True)
                assert answer == json.loads(json.dumps(example))
                checked += 1
    assert checked >= 10


async def test_the_served_specification_is_the_same(cluster: Cluster) -> None:
    served = (await cluster.api.get("/openapi.json")).json()
    assert served["paths"] == specification("0.0.0")["paths"]
