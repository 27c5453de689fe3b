"""The operations of the reference system: each is here, answers as its clients expect, and has its errors."""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx
import pytest
from admin_api_cluster import Cluster, error
from reference_calls import Ask, Operation
from reference_operations import OPERATIONS

from ampd.admin_api import specification
from ampd.cli.ampctl import app
from ampd.datasets import generate_manifest
from support.made_lake import MadeLake
from support.shell import assert_has_shape

Json = Any
paths = cache(lambda: specification("0.0.0")["paths"])
# Its errors are many, and have tests of their own: test_admin_api_schema.py.
SCHEMA = ("POST", "/schema")


def test_all_operations_of_the_reference_system_are_in_the_table_once() -> None:
    named = [(each.method, each.path) for each in OPERATIONS]
    assert len({*named, SCHEMA}) == len(named) + 1 == 42


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_the_specification_has_each_operation_with_its_status_and_its_errors(operation: Operation) -> None:
    told = paths()[operation.path][operation.method.lower()]["responses"]
    assert str(operation.status) in told
    for code, (status, _) in operation.errors.items():
        assert code in told[str(status)]["description"].replace(" or ", " ").split(), code


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_each_operation_has_a_command_of_ampctl(operation: Operation) -> None:
    assert operation.command.split()[1] in app[operation.command.split()[0]]


@pytest.fixture
async def names(cluster: Cluster) -> dict[str, Json]:
    """Make one of each thing, in the states that the operations want."""
    api, names = cluster.api, dict[str, Json]()
    names["hash"] = await cluster.register()
    names["manifest"] = generate_manifest("evm-rpc", "mainnet", 77, False).to_json()
    names["running"] = await cluster.deploy()
    lease = await cluster.start(names["running"])
    await cluster.write(lease, names["hash"], {"blocks": [(0, 9)]})
    names["event"] = (await api.get(f"/jobs/{names['running']}/events")).json()["events"][0]["id"]
    for state in ("COMPLETED", "RUNNING"):
        await cluster.register(f"a/{state.lower()}")
    names["completed"] = await cluster.job_in_state("COMPLETED", "a/completed")
    names["stopping"] = await cluster.job_in_state("RUNNING", "a/running")
    await cluster.register("a/waits")
    for version in ("0.9.0", "1.0.0"):
        await cluster.register("lost/all", version)
    lake = MadeLake(cluster.directory / "data", "lost/all")
    lake.write(0, 9)
    tables = (await api.post("/datasets/lost/all/versions/1.0.0/restore")).json()["tables"]
    names["logs"] = next(each["location_id"] for each in tables if each["table_name"] == "logs")
    names["file"] = (await api.get(f"/revisions/{names['logs']}/files")).json()["files"][0]["id"]
    names["busy"] = next(
        each["id"] for each in (await api.get("/revisions")).json() if each.get("writer") == names["running"]
    )
    for name, reference in (("idle", "lost/all"), ("idle_2", "lost/all"), ("busy_idle", "ethereum/mainnet")):
        body = {"dataset": f"{reference}@1.0.0", "table_name": "blocks", "path": f"{reference}/blocks/{name}"}
        names[name] = (await api.post("/revisions", json=body)).json()["location_id"]
    return names


def _filled(value: Json, names: dict[str, Json]) -> Json:
    """Return ``value`` with what its ``{name}`` stand for."""
    if isinstance(value, dict):
        return {key: _filled(each, names) for key, each in value.items()}
    if isinstance(value, str) and value.startswith("{") and value.strip("{}") in names:
        return names[value.strip("{}")]
    return value


async def _ask(cluster: Cluster, operation: Operation, ask: Ask, names: dict[str, Json]) -> httpx.Response:
    path = ask.path.format(**names)
    if ask.text is not None:
        headers = {"Content-Type": "application/json"}
        return await cluster.api.request(operation.method, path, content=ask.text, headers=headers)
    return await cluster.api.request(operation.method, path, json=_filled(ask.body, names))


async def test_each_operation_answers_each_of_its_errors_with_status_and_code(
    cluster: Cluster, names: dict[str, Json]
) -> None:
    wrong = []
    for operation in OPERATIONS:
        for code, (status, ask) in operation.errors.items():
            answer = await _ask(cluster, operation, ask, names)
            if answer.status_code < 400 or error(answer) != (status, code):
                wrong.append((operation.method, ask.path, code, answer.status_code, answer.text))
    assert wrong == []


async def test_each_operation_answers_when_all_is_well_with_the_status_and_the_shape_that_clients_expect(
    cluster: Cluster, names: dict[str, Json]
) -> None:
    for operation in OPERATIONS:
        answer = await _ask(cluster, operation, operation.ask, names)
        where = f"{operation.method} {operation.ask.path}"
        assert answer.status_code == operation.status, (where, answer.text)
        if operation.answer is None:
            assert answer.content == b"", where
        else:
            assert_has_shape(answer.json(), operation.answer, where)


# What it gets wrong


async def test_the_progress_of_a_job_stays_when_its_dataset_is_deployed_with_another_manifest(
    cluster: Cluster,
) -> None:
    first_hash = await cluster.register(version="1.0.0")
    first = await cluster.job_in_state("SCHEDULED", "ethereum/mainnet")
    lease = await cluster.start(first)
    await cluster.write(lease, first_hash, {"blocks": [(0, 9)], "logs": [(0, 9)]})
    assert await cluster.leased.complete(lease)
    before = (await cluster.api.get(f"/jobs/{first}/progress")).json()["tables"]
    second_hash = await cluster.register(version="2.0.0", start_block=5)
    second = await cluster.deploy(revision="2.0.0")
    assert (second_hash, second) != (first_hash, first)
    await cluster.write(await cluster.start(second), second_hash, {"blocks": [(5, 7)], "logs": []})
    assert (await cluster.api.get(f"/jobs/{first}/progress")).json()["tables"] == before
    assert before["blocks"]["current_block"] == 9
    mine = (await cluster.api.get(f"/jobs/{second}/progress")).json()["tables"]
    assert set(mine) == {"blocks", "logs"}


@pytest.mark.parametrize("call", ["GET ", "GET /manifest", "GET /jobs", "POST /deploy", "POST /restore"])
async def test_a_hash_is_a_revision_only_of_datasets_that_are_linked_to_it(cluster: Cluster, call: str) -> None:
    await cluster.register("a/x")
    other = await cluster.register("b/y", start_block=7)
    method, _, rest = call.partition(" ")
    answer = await cluster.api.request(method, f"/datasets/a/x/versions/{other}{rest}")
    assert error(answer) == (404, "DATASET_NOT_FOUND")
    assert "no manifest with this hash is linked to it" in answer.json()["error_message"]
