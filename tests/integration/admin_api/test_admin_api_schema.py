"""POST /schema, its clients and its command."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from admin_api_cluster import Cluster, error
from structlog.testing import capture_logs

from ampd.access import NewToken, Role
from ampd.admin_api.bodies.schema_models import SchemaRequest, SchemasBody
from ampd.client import Ampd, ApiError, AsyncAmpd, Column
from support.ampctl import run

REFERENCE = "ethereum/mainnet@1.0.0"
SQL = "SELECT address FROM eth.logs"
COLUMNS = (Column("_block_num", "UInt64", False), Column("address", {"FixedSizeBinary": 20}, False))


def example_of(model: type[Any]) -> Any:
    return model.model_config["json_schema_extra"]["examples"][0]


async def ask(cluster: Cluster, **request: Any) -> tuple[int, str]:
    return error(await cluster.api.post("/schema", json=request))


async def test_the_example_of_the_specification_is_what_its_request_is_answered(cluster: Cluster) -> None:
    await cluster.register()
    answer = await cluster.api.post("/schema", json=example_of(SchemaRequest))
    assert answer.status_code == 200
    assert answer.json() == example_of(SchemasBody)


async def test_sql_is_refused_with_the_code_and_the_table_that_it_is_about(cluster: Cluster) -> None:
    await cluster.register()
    tables = {"good": SQL, "bad": "SELECT nope FROM eth.logs"}
    answer = await cluster.api.post("/schema", json={"tables": tables, "dependencies": {"eth": REFERENCE}})
    assert error(answer) == (400, "INVALID_PLAN")
    assert answer.json()["error_message"].startswith("table 'bad': No field named nope")


OTHER_FORMS: list[dict[str, Any]] = [
    {"tables": "SELECT 1"},
    {"tables": {"t": 1}},
    {"tables": {"t": SQL}, "table": {}},
    {"tables": {"t": SQL}, "dependencies": {"self": REFERENCE}},
    {"tables": {"t": SQL}, "dependencies": {"1": REFERENCE}},
    {"tables": {"t": SQL}, "dependencies": {"eth": "mainnet"}},
    {"tables": {"t": SQL}, "dependencies": {"eth": "ethereum/mainnet"}},
    {"tables": {"t": SQL}, "dependencies": {"eth": "ethereum/mainnet@latest"}},
    {"functions": {"f": {"inputTypes": ["Text"], "outputType": "Utf8"}}},
    {"functions": {"f": {"inputTypes": [], "outputType": {"Interval": "YearMonth"}}}},
    {"functions": {"a b": {"inputTypes": [], "outputType": "Utf8"}}},
    {"tables": {f"t{number}": SQL for number in range(101)}},
]


async def test_a_request_of_another_form_is_refused(cluster: Cluster) -> None:
    for request in OTHER_FORMS:
        assert await ask(cluster, **request) == (400, "INVALID_PAYLOAD_FORMAT"), request


async def test_functions_alone_are_answered_without_schemas_and_nothing_at_all_is_refused(cluster: Cluster) -> None:
    function = {"inputTypes": ["Utf8"], "outputType": "Int64", "source": {"source": "x => 1", "filename": "f.js"}}
    answer = await cluster.api.post("/schema", json={"functions": {"f": function}})
    assert (answer.status_code, answer.json()) == (200, {"schemas": {}})
    assert await ask(cluster) == (400, "EMPTY_TABLES_AND_FUNCTIONS")
    assert await ask(cluster, tables={}, functions={}) == (400, "EMPTY_TABLES_AND_FUNCTIONS")


async def test_a_dependency_that_is_not_there_is_404_also_when_it_is_only_hidden(cluster: Cluster) -> None:
    registered = await cluster.register("hidden/set")
    services = cluster.services.access
    await services.create(NewToken(Role.ADMIN), actor="test")
    _, token = await services.create(NewToken(Role.VIEWER, namespaces=("ethereum",)), actor="test")
    answers = []
    for reference in ("hidden/set@1.0.0", f"hidden/set@{registered}", "nowhere/set@1.0.0"):
        body = {"tables": {"t": SQL}, "dependencies": {"eth": reference}}
        answer = await cluster.api.post("/schema", json=body, headers={"Authorization": f"Bearer {token}"})
        assert error(answer) == (404, "DEPENDENCY_NOT_FOUND")
        answers.append(answer.json()["error_message"].replace(reference.partition("@")[0], "~"))
    assert answers[0] == answers[1] == answers[2]


async def test_both_clients_give_columns(cluster: Cluster, admin_url: str) -> None:
    manifest_hash = await cluster.register()
    with Ampd(admin_url) as client:
        found = client.schemas.infer({"t": SQL}, {"eth": f"ethereum/mainnet@{manifest_hash}"})
        assert found["t"].columns == COLUMNS
        assert found["t"].raw["arrow"]["fields"][0] == {"name": "_block_num", "type": "UInt64", "nullable": False}
    async with AsyncAmpd(admin_url) as other:
        with pytest.raises(ApiError) as caught:
            await other.schemas.infer({"t": SQL})
    assert caught.value.code == "TABLE_REFERENCE_RESOLUTION"


class Terminal:
    """Runs `ampctl schema` and gives what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        self._capsys.readouterr()
        with capture_logs():
            assert run(["schema", *arguments]) == code
        written = self._capsys.readouterr()
        return written.err if code else written.out


async def test_the_command_shows_columns_and_follows_latest(
    cluster: Cluster,
    admin_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    monkeypatch.setenv("AMP_ADMIN_URL", admin_url)
    ampctl = Terminal(capsys)
    await cluster.register()
    shown = ampctl(
        "SELECT address, access_list FROM eth.logs l JOIN eth.transactions t ON l.tx_hash = t.tx_hash",
        "-d",
        "eth=ethereum/mainnet",
    )
    assert shown == (
        "query:\n"
        "  _block_num   UInt64 not null\n"
        "  address      FixedSizeBinary(20) not null\n"
        "  access_list  List(Struct(address: FixedSizeBinary(20), storage_keys: List(FixedSizeBinary(32))))\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(SQL))
    answer = json.loads(ampctl("--dependency", f"eth={REFERENCE}", "--table", "senders", "--json"))
    assert [column["name"] for column in answer["schemas"]["senders"]["arrow"]["fields"]] == ["_block_num", "address"]
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"tables": {"t": "SELECT 1"}, "dependencies": {"eth": REFERENCE}}))
    assert "✗ failed to infer a schema\n  → table 't': it names no table" in ampctl("--file", str(file), code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        [SQL, "--file", "request.json"],
        [SQL, "-d", "eth"],
        ["--file", "request.json", "-d", f"eth={REFERENCE}"],
    ],
)
def test_a_command_that_does_not_say_what_it_is_about_is_wrong_usage(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "failed to infer a schema" in Terminal(capsys)(*arguments, code=2)
