"""What every command of ampctl shares: its options, the way to the Admin API, and how it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

from cyclopts import Parameter

from ampd.client import DEFAULT_ADMIN_URL, Ampd, ApiError
from ampd.errors import AmpError, ErrorCode

# Where to look for what was not found, when the Admin API does not say so itself: it is for programs as well.
_WHERE_TO_LOOK: Final = {
    ErrorCode.JOB_NOT_FOUND: "ampctl job list --status all shows the jobs that there are",
    ErrorCode.EVENT_NOT_FOUND: "ampctl job events JOB_ID shows the entries that there are",
    ErrorCode.WORKER_NOT_FOUND: "ampctl worker list shows the workers that there are",
    ErrorCode.MANIFEST_NOT_FOUND: "ampctl manifest list shows the manifests that there are",
    ErrorCode.REVISION_NOT_FOUND: "ampctl table list shows the revisions that there are",
    ErrorCode.FILE_NOT_FOUND: "ampctl table files REVISION_ID shows the files that there are",
    ErrorCode.WEBHOOK_NOT_FOUND: "ampctl webhook list shows the webhooks that there are",
    ErrorCode.DELIVERY_NOT_FOUND: "ampctl webhook deliveries WEBHOOK_ID shows the deliveries that there are",
}


class CommandFailedError(Exception):
    """A command that did not do what it was asked for: what failed, and why, the outermost reason first."""

    def __init__(self, what: str, causes: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.causes = list(causes)


class WronglyUsedError(CommandFailedError):
    """A command whose arguments do not go together: what is wanted."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every command that talks to the Admin API."""

    admin_url: Annotated[str, Parameter(env_var="AMP_ADMIN_URL", help="Address of the Admin API.")] = DEFAULT_ADMIN_URL
    auth_token: Annotated[
        str | None, Parameter(env_var="AMP_AUTH_TOKEN", help="Bearer token, when the Admin API wants one.")
    ] = None
    json: Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help="Print one line of JSON.")] = (
        False
    )


DEFAULT_OPTIONS = Options()


@contextmanager
def admin_api(options: Options, failure: str) -> Iterator[Ampd]:
    """Give a client for the length of a command; its errors end the command, headed by ``failure``.

    :raises CommandFailedError: for every error of the Admin API.
    """
    try:
        client = Ampd(options.admin_url, options.auth_token)
    except (ApiError, ValueError) as error:
        raise CommandFailedError(failure, [str(error)]) from None
    with client:
        try:
            yield client
        except ApiError as error:
            raise CommandFailedError(failure, [error.message, *_next_step(error)]) from None


def _next_step(error: ApiError) -> list[str]:
    return [step for code, step in _WHERE_TO_LOOK.items() if code == error.code]


def read_text(path: Path, failure: str) -> str:
    """Return the text of a file; ``-`` is standard input.

    :raises CommandFailedError: when it cannot be read.
    """
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandFailedError(failure, [f"cannot read {path}: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise CommandFailedError(failure, [f"{path} is not UTF-8 text: {error.reason} at byte {error.start}"]) from None


def read_json_object(path: Path, failure: str) -> dict[str, Any]:
    """Return the JSON object of a file.

    :raises CommandFailedError: naming file, line and column.
    """
    text = read_text(path, failure)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        cause = f"{path} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise CommandFailedError(failure, [cause]) from None
    except (ValueError, RecursionError) as error:
        raise CommandFailedError(failure, [f"{path} is not JSON: {error}"]) from None
    if not isinstance(value, dict):
        raise CommandFailedError(failure, [f"{path} holds no JSON object, but {type(value).__name__}"])
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


@contextmanager
def local_failure(failure: str) -> Iterator[None]:
    """Head the errors of work that needs no Admin API with ``failure``.

    :raises CommandFailedError: for every AmpError.
    """
    try:
        yield
    except AmpError as error:
        raise CommandFailedError(failure, [error.message]) from None
