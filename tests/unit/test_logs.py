"""Logs: levels, one format for everybody, and no secret in any of them."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.telemetry.logs import configure_logging, redact, redact_text

WARNINGS = {"our warning", "their warning", "our error", "their error"}
SECRET = "s3cr3t-0123456789abcdef"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Give back what configure_logging changes for the whole process."""
    names = (None, "ampd", "uvicorn", "uvicorn.error", "uvicorn.access")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Stand in for stderr: pytest puts its own in place of sys.stderr."""
    monkeypatch.delenv("AMP_LOG", raising=False)
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def say_everything() -> None:
    ours, theirs = structlog.get_logger("ampd.worker"), logging.getLogger("uvicorn.error")
    for word in ("debug", "info", "warning", "error"):
        getattr(ours, word)(f"our {word}")
        getattr(theirs, word)(f"their {word}")


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("off", set[str]()),
        ("error", {"our error", "their error"}),
        ("WARN", WARNINGS),
        (None, {"our info", *WARNINGS}),
        ("debug", {"our debug", "our info", *WARNINGS, "their info"}),
        ("trace", {"our debug", "our info", *WARNINGS, "their info", "their debug"}),
    ],
)
def test_amp_log_chooses_how_much_is_said(
    stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch, level: str | None, heard: set[str]
) -> None:
    if level is not None:
        monkeypatch.setenv("AMP_LOG", level)
    configure_logging(component="worker", stream=stderr)
    say_everything()
    assert {line["event"] for line in lines(stderr)} == heard


def test_an_unknown_level_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMP_LOG", "verbose")
    with pytest.raises(AmpError, match=r"AMP_LOG: 'verbose'.*off, error, warn, info, debug, trace") as refused:
        configure_logging(component="worker")
    assert refused.value.code == ErrorCode.CONFIG_INVALID


def test_a_line_of_json_says_when_in_utc_who_and_what(stderr: io.StringIO) -> None:
    configure_logging(component="worker", stream=stderr)
    with structlog.contextvars.bound_contextvars(job_id=7):
        structlog.get_logger("ampd.jobs").info("job started", node_id="w1")
    logging.getLogger("psycopg.pool").warning("pool %s is %s", "a", "full", extra={"size": 3})
    ours, theirs = lines(stderr)
    when = datetime.fromisoformat(ours.pop("timestamp"))
    assert when.utcoffset() == timedelta(0)
    assert ours == {
        "event": "job started",
        "level": "info",
        "logger": "ampd.jobs",
        "component": "worker",
        "job_id": 7,
        "node_id": "w1",
    }
    del theirs["timestamp"]
    assert theirs == {
        "event": "pool a is full",
        "level": "warning",
        "logger": "psycopg.pool",
        "component": "worker",
        "size": 3,
    }


def test_libraries_with_handlers_of_their_own_speak_once_through_ours(stderr: io.StringIO) -> None:
    for name in ("uvicorn", "uvicorn.access"):
        logging.getLogger(name).addHandler(logging.StreamHandler(stderr))
        logging.getLogger(name).propagate = False
    configure_logging(component="controller", stream=stderr)
    logging.getLogger("uvicorn.access").warning("GET /jobs")
    logging.getLogger("uvicorn").warning("started")
    assert [line["event"] for line in lines(stderr)] == ["GET /jobs", "started"]


def test_configuring_twice_does_not_say_things_twice(stderr: io.StringIO) -> None:
    configure_logging(component="worker", stream=stderr)
    configure_logging(component="worker", stream=stderr)
    structlog.get_logger("ampd").info("once")
    assert len(lines(stderr)) == 1


def test_warnings_of_python_become_log_lines(stderr: io.StringIO) -> None:
    configure_logging(component="worker", stream=stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert "old call" in lines(stderr)[0]["event"]


def test_a_terminal_gets_text_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMP_LOG", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    configure_logging(component="solo", stream=terminal)
    structlog.get_logger("ampd").info("job started", job_id=7, token=SECRET)
    said = terminal.getvalue()
    assert "job started" in said
    assert "job_id=7" in said
    assert "\x1b" not in said
    assert SECRET not in said
    assert not said.startswith("{")


def log_failure(error: Exception) -> None:
    try:
        raise error
    except Exception:
        structlog.get_logger("ampd.jobs").exception("job failed")
        logging.getLogger("ampd.jobs").exception("job failed")


def test_an_expected_error_is_said_without_its_stack_trace(stderr: io.StringIO) -> None:
    configure_logging(component="worker", stream=stderr)
    log_failure(AmpError(ErrorCode.NODE_UNREACHABLE, "cannot reach the node"))
    for line in lines(stderr):
        assert line["error_code"] == "NODE_UNREACHABLE"
        assert line["error_message"] == "cannot reach the node"
        assert "exception" not in line
    assert len(lines(stderr)) == 2


def test_at_debug_and_for_unexpected_errors_the_stack_trace_is_there(
    stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging(component="worker", stream=stderr)
    log_failure(ValueError("nobody expected this"))
    monkeypatch.setenv("AMP_LOG", "debug")
    configure_logging(component="worker", stream=stderr)
    log_failure(AmpError(ErrorCode.NODE_UNREACHABLE, "cannot reach the node"))
    assert len(lines(stderr)) == 4
    assert all("in log_failure" in line["exception"] for line in lines(stderr))


def test_no_secret_passes_wherever_it_stands(stderr: io.StringIO) -> None:
    configure_logging(component="worker", stream=stderr)
    log = structlog.get_logger("ampd.sources")
    url = f"https://user:{SECRET}@node.example/v3/{SECRET}?key={SECRET}"
    log.info("calling", url=url, rpc_url=url, headers={"Authorization": f"Bearer {SECRET}", "Accept": "x"})
    log.info(f"calling {url}", tokens=[SECRET], nested=[{"api_key": SECRET, "urls": [url]}], error=ValueError(url))
    log.info(f"header Authorization: Bearer {SECRET}, dsn password={SECRET} host=h")
    logging.getLogger("aiohttp").warning("cannot reach %s", url)
    log_failure(RuntimeError(f"no answer from {url}"))
    assert len(lines(stderr)) == 6
    assert SECRET not in stderr.getvalue()
    assert stderr.getvalue().count("node.example") >= 6
    assert lines(stderr)[0]["headers"]["Accept"] == "x"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ampd:pw@db:5432/ampd?password=x", "postgresql://***@db:5432/ampd?***"),
        ("postgresql://ampd:p/w?x#y@db/ampd", "postgresql://***@db/ampd"),
        ("postgresql://one:5432,two:5432/ampd", "postgresql://one:5432,two:5432/ampd"),
        ("https://mainnet.example/v3/0123456789abcdef0123456789abcdef", "https://mainnet.example/v3/***"),
        ("http://[::1]:8545/rpc#key", "http://[::1]:8545/rpc?***"),
        ("s3://bucket/a-long-directory-of-ours/x", "s3://bucket/a-long-directory-of-ours/x"),
        ("/var/lib/amp", "/var/lib/amp"),
        ("", ""),
    ],
)
def test_a_redacted_url_still_says_where(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_redaction_leaves_the_sentence_around_a_url_alone() -> None:
    assert redact_text("see 'http://u:p@h/x?y=1', then (http://h/z).") == "see 'http://***@h/x?***', then (http://h/z)."


def test_lines_go_to_stderr_and_never_to_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMP_LOG", raising=False)
    configure_logging(component="worker")
    structlog.get_logger("ampd").info("here")
    said = capsys.readouterr()
    assert json.loads(said.err)["event"] == "here"
    assert said.out == ""
