"""What makes a handler, how packages bring them, and what of their inputs may be seen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from structlog.testing import capture_logs

from ampd.errors import AmpError, ErrorCode
from ampd.handlers import HandlerContext, discover, hide_by_names, kind_of
from ampd.handlers.json_values import json_value
from ampd.handlers.secrets import merge, scrub


class Login(BaseModel):
    user: str
    password: SecretStr


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = Field(ge=1)
    logins: list[Login] = []
    tokens: dict[str, SecretStr] = {}
    note: str = "none"


async def good(job: Wanted, context: HandlerContext) -> None: ...


class Good:
    async def run(self, job: Wanted, context: HandlerContext) -> None: ...


def not_async(job: Wanted, context: HandlerContext) -> None: ...
async def no_model(job: dict[str, Any], context: HandlerContext) -> None: ...
async def untyped(job, context): ...  # type: ignore[no-untyped-def]
async def too_few(job: Wanted) -> None: ...
async def too_many(job: Wanted, context: HandlerContext, more: int) -> None: ...


class NoRun: ...


@pytest.mark.parametrize("handler", [good, Good])
def test_a_handler_is_an_async_function_or_a_class_with_one(handler: object) -> None:
    assert kind_of("k", handler, source="here").input_model is Wanted


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (not_async, "async function"),
        (NoRun, "async function"),
        ("text", "async function"),
        (no_model, "pydantic model as the type of its first parameter, 'job'"),
        (untyped, "pydantic model"),
        (too_few, "two parameters"),
        (too_many, "two parameters"),
    ],
)
def test_what_is_no_handler_is_refused_with_what_it_lacks(handler: object, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        kind_of("k", handler, source="here")


# --- packages


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Give a function that installs a package of one module, with one entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, kind: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[ampd.handlers]\n{kind} = {name}:run\n")
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


CODE = """
from pydantic import BaseModel
from ampd.handlers import HandlerContext

class Job(BaseModel):
    n: int

async def run(job: Job, context: HandlerContext) -> int:
    return job.n
"""


def test_the_handlers_of_installed_packages_are_found_by_their_kinds(install: Callable[[str, str, str], None]) -> None:
    install("first_pack", "count", CODE)
    install("second_pack", "my-team.report_2", CODE)
    found = discover()
    assert set(found.kinds) == {"count", "my-team.report_2"}
    assert found.kinds["count"].source == "first_pack:run (first_pack 1.0)"
    assert found.failed == []


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        ("broken", "import a_module_that_nobody_has", "ModuleNotFoundError: No module named"),
        ("broken", "raise SystemError('no')", "SystemError: no"),
        ("broken", "other = 1", "AttributeError"),
        ("broken", "def run(job): ...", "TypeError: want an async function"),
        ("http", CODE, "is a kind of ampd itself"),
        ("Report", CODE, "want a small letter"),
        ("count", CODE, "several packages bring this kind"),
    ],
)
def test_a_handler_that_cannot_be_used_is_told_of_loudly_and_the_others_are_there(
    install: Callable[[str, str, str], None], kind: str, code: str, reason: str
) -> None:
    install("good_pack", "fine", CODE)
    install("bad_pack", kind, code)
    if kind == "count":
        install("twin_pack", kind, code)
    with capture_logs() as logs:
        found = discover()
    assert set(found.kinds) == {"fine"}
    (failed,) = found.failed
    assert reason in failed.reason
    (line,) = [each for each in logs if each["event"] == "handler.not_loaded"]
    assert (line["log_level"], line["kind"]) == ("error", kind)
    assert "bad_pack 1.0" in line["source"]


# --- inputs


def test_an_input_is_kept_as_it_was_given_without_its_secrets_and_read_again_with_them() -> None:
    kind = kind_of("k", good, source="here")
    given = {
        "count": 3,
        "logins": [{"user": "ann", "password": "hunter2"}, {"user": "bob", "password": "swordfish"}],
        "tokens": {"a": "t0ken"},
    }
    shown, secrets = kind.take_apart(given)
    assert shown == {
        "count": 3,
        "logins": [{"user": "ann", "password": "***"}, {"user": "bob", "password": "***"}],
        "tokens": {"a": "***"},
    }
    read = kind.read(merge(shown, [[list(path), value] for path, value in secrets]))
    assert isinstance(read, Wanted)
    assert [login.password.get_secret_value() for login in read.logins] == ["hunter2", "swordfish"]
    assert read.tokens["a"].get_secret_value() == "t0ken"


def test_what_is_wrong_with_an_input_is_said_without_its_values() -> None:
    kind = kind_of("k", good, source="here")
    with pytest.raises(AmpError) as refused:
        kind.take_apart({"count": 0, "logins": [{"password": ["hunter2"]}], "colour": "hunter2"})
    assert refused.value.code is ErrorCode.INVALID_JOB_INPUT
    message = refused.value.message
    assert "count: Input should be greater than or equal to 1" in message
    assert "logins.0.user: is missing" in message
    assert "colour: is not known" in message
    assert "hunter2" not in message


class Unreadable(BaseModel):
    """Its output is not what it reads."""

    when: int = Field(validation_alias="at")


async def unreadable(job: Unreadable, context: HandlerContext) -> None: ...


def test_a_model_that_does_not_read_what_it_writes_is_refused_when_a_job_is_created() -> None:
    kind = kind_of("k", unreadable, source="here")
    with pytest.raises(AmpError, match="at: is missing"):
        kind.take_apart({"at": 1})


def test_without_a_model_what_is_named_like_a_secret_is_hidden() -> None:
    shown, secrets = hide_by_names({"api_key": "k1", "deep": [{"Authorization": "k2", "n": 1}], "tokens": ["k3", 4]})
    assert shown == {"api_key": "***", "deep": [{"Authorization": "***", "n": 1}], "tokens": ["***", 4]}
    assert sorted(value for _, value in secrets) == ["k1", "k2", "k3"]


def test_secrets_are_taken_out_of_texts_the_longest_first() -> None:
    assert scrub("it said Bearer abcdef, and abcdef; ab stays", ["abcdef", "Bearer abcdef", "ab"]) == (
        "it said ***, and ***; ab stays"
    )


# --- values that are kept


class Point(BaseModel):
    x: int


def test_results_may_be_models_and_whatever_else_has_a_json_form() -> None:
    assert json_value({"p": Point(x=1), "path": Path("/a"), "set": {3}}, what="it", most_bytes=100) == {
        "p": {"x": 1},
        "path": "/a",
        "set": [3],
    }
    assert json_value(None, what="it", most_bytes=4) is None


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "value", [object(), float("nan"), {"a": float("inf")}, CIRCLE, {("a", "b"): object()}, b"\xff"]
)
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(AmpError, match="the result is no JSON value") as refused:
        json_value(value, what="the result", most_bytes=1000)
    assert refused.value.code is ErrorCode.JOB_DATA_INVALID


def test_a_value_may_be_as_large_as_its_limit_and_no_larger() -> None:
    assert json_value("x" * 98, what="the result", most_bytes=100)
    with pytest.raises(AmpError, match="the result has 101 bytes as JSON, the most is 100"):
        json_value("x" * 99, what="the result", most_bytes=100)
    with pytest.raises(AmpError, match="102 bytes"):
        json_value("ü" * 50, what="the result", most_bytes=100)
