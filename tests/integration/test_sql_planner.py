"""SQL that would take a process down, or keep it busy, takes down one that is there for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from ampd.errors import AmpError
from ampd.queries import Function, Question, SchemaPlanner, Source
from ampd.queries.planner import PlannerLimits

SOURCES = {"eth": Source("ethereum/mainnet@1.0.0", "evm-rpc", "mainnet", ("blocks", "logs"))}
GOOD = Question({"t": "SELECT address FROM eth.logs"}, SOURCES, {})
# Time on the clock says nothing on a busy machine.
TIGHT = PlannerLimits(cpu_seconds=4, wall_seconds=300, memory_bytes=2**27)


def planners() -> list[psutil.Process]:
    """Return the processes that plan SQL for this one; it may have others."""
    return [each for each in psutil.Process().children() if "ampd.queries.process" in _command(each)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


async def a_planner() -> psutil.Process:
    """Wait until there is one, and return it."""
    while not (found := planners()):
        await asyncio.sleep(0)
    return found[0]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert planners() == []


async def refusal(sql: str, limits: PlannerLimits = TIGHT) -> tuple[str, str]:
    with capture_logs(), pytest.raises(AmpError) as caught:
        await SchemaPlanner(limits).columns(Question({"t": sql}, SOURCES, {}))
    return str(caught.value.code), caught.value.message


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("sql", "code", "says"),
    [
        # 100 kB of each. The first is refused by the parser; the others overflow the stack, or take all time.
        (f"SELECT {'(' * 50_000}1{')' * 50_000} FROM eth.logs", "INVALID_TABLE_SQL", "nested too deep"),
        (f"SELECT 1{'::int' * 20_000} AS x FROM eth.logs", "INVALID_PLAN", "nested too deep"),
        pytest.param(" UNION ALL ".join(["SELECT 1 FROM eth.logs"] * 3_500), "INVALID_PLAN", "", marks=LONG),
        pytest.param(f"SELECT {'||'.join(['address'] * 10_000)} AS x FROM eth.logs", "INVALID_PLAN", "", marks=LONG),
        pytest.param(f"SELECT {'+'.join(['log_index'] * 10_000)} AS x FROM eth.logs", "INVALID_PLAN", "", marks=LONG),
    ],
    ids=["parentheses", "casts", "unions", "concatenations", "sums"],
)
async def test_deep_sql_is_an_error_of_whoever_sent_it(sql: str, code: str, says: str) -> None:
    told = await refusal(sql)
    assert told[0] == code
    assert told[1].startswith("table 't': ")
    assert says in told[1]


def doubled(times: int, first: str = "*") -> str:
    lines = "".join(f", a{n + 1} AS (SELECT * FROM a{n} UNION ALL SELECT * FROM a{n})" for n in range(times))
    return f"WITH a0 AS (SELECT {first} FROM eth.logs){lines} SELECT * FROM a{times}"


async def test_sql_that_needs_much_memory_ends_at_the_limit() -> None:
    sql = doubled(8, f"'{'x' * 200_000}' AS x")
    code, message = await refusal(sql, PlannerLimits(wall_seconds=300, memory_bytes=2**24))
    assert code == "INVALID_PLAN"
    assert "out of stack or memory" in message


async def test_a_constant_is_not_computed_to_know_its_type() -> None:
    question = Question({"t": "SELECT repeat('x', 2000000000) AS x FROM eth.logs"}, SOURCES, {})
    found = await SchemaPlanner(PlannerLimits(memory_bytes=2**26)).columns(question)
    assert found["t"][1] == {"name": "x", "type": "Utf8", "nullable": True}


async def test_sql_that_takes_long_ends_at_the_limit_of_time() -> None:
    code, message = await refusal(doubled(40), PlannerLimits(cpu_seconds=1, wall_seconds=300))
    assert code == "INVALID_PLAN"
    assert "within 1 s of CPU time" in message


async def test_columns_that_grow_from_table_to_table_are_no_answer() -> None:
    wider = ", ".join(f"'f{number}': x" for number in range(10))
    tables = {"t0": "SELECT log_index AS x FROM eth.logs"}
    for number in range(1, 5):
        tables[f"t{number}"] = f"SELECT {{{wider}}} AS x FROM self.t{number - 1}"
    with capture_logs(), pytest.raises(AmpError, match="characters of JSON, more than") as caught:
        await SchemaPlanner().columns(Question(tables, SOURCES, {}))
    assert str(caught.value.code) == "INVALID_PLAN"


async def test_a_process_that_cannot_start_is_an_error_of_ours_and_its_words_are_logged() -> None:
    with capture_logs() as logs, pytest.raises(AmpError) as caught:
        await SchemaPlanner(PlannerLimits(memory_bytes=0)).columns(GOOD)
    assert str(caught.value.code) == "SCHEMA_INFERENCE"
    assert [entry["event"] for entry in logs] == ["queries.planner_ended"]


async def test_the_event_loop_goes_on_meanwhile_and_a_cancelled_question_leaves_no_process() -> None:
    asking = asyncio.create_task(SchemaPlanner().columns(Question({"t": doubled(40)}, SOURCES, {})))
    planner = await a_planner()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    _, alive = await asyncio.to_thread(psutil.wait_procs, [planner], 5)
    assert not alive


async def test_questions_wait_for_their_turn_and_are_asked_to_come_again_when_it_does_not_come() -> None:
    planner = SchemaPlanner(PlannerLimits(wall_seconds=0, at_once=1))
    async with planner._turn():
        with pytest.raises(AmpError, match="ask again later") as caught:
            await planner.columns(GOOD)
    assert str(caught.value.code) == "RATE_LIMITED"
    assert caught.value.retry_after_seconds is not None


async def test_the_process_knows_no_password_of_the_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMP_CONFIG_METADATA_DB__URL", "postgresql://amp:hunter2@127.0.0.1/amp")
    asking = asyncio.create_task(SchemaPlanner().columns(GOOD))
    environment = (await a_planner()).environ()
    assert "hunter2" not in str(environment)
    assert [column["name"] for column in (await asking)["t"]] == ["_block_num", "address"]


async def test_functions_alone_need_no_process() -> None:
    functions = {"f": Function((), "Utf8")}
    assert await SchemaPlanner(PlannerLimits(memory_bytes=0)).columns(Question({}, {}, functions)) == {}
