from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from admin_api_cluster import Cluster

from ampd import __version__
from ampd.admin_api import (
    job_models,
    lake_models,
    models,
    schedule_models,
    specification,
    token_models,
    webhook_models,
)
from ampd.admin_api.openapi import specification_text

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"
OPERATIONS = {
    "/healthz": {"get"},
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
    "/jobs/{id}/history": {"get"},
    "/jobs/{id}/stop": {"put", "post"},
    "/jobs/{id}/progress": {"get"},
    "/jobs/{id}/events": {"get"},
    "/jobs/{id}/events/{event_id}": {"get"},
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
        "write it again: python -m ampd.admin_api.openapi > docs/reference/openapi.json"
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
        | vars(schedule_models)
        | vars(token_models)
        | vars(webhook_models)
    ).values():
        if isinstance(model, type) and issubclass(model, models.BaseModel) and model is not models.BaseModel:
            extra = model.model_config.get("json_schema_extra")
            for example in extra["examples"] if isinstance(extra, dict) else []:
                answer = model.model_validate(example).model_dump(mode="json", exclude_unset=True)
                assert answer == json.loads(json.dumps(example))
                checked += 1
    assert checked >= 10


async def test_the_served_specification_is_the_same(cluster: Cluster) -> None:
    served = (await cluster.api.get("/openapi.json")).json()
    assert served["paths"] == specification("0.0.0")["paths"]
