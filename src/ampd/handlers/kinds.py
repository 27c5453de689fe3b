"""Kinds of jobs that say what their input is: a pydantic model, and what runs with it."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ampd.errors import AmpError, ErrorCode
from ampd.handlers.context import HandlerContext
from ampd.handlers.secrets import Path, merge, split

Run = Callable[[Any, HandlerContext], Awaitable[Any]]
Hide = Callable[[Any], tuple[Any, list[tuple[Path, str]]]]
KIND_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_MOST_DETAILS: Final = 5


class RecoverableError(AmpError):
    """Raise it when another try may help: the job is tried again, as its retries allow.

    ``retry_after_seconds``: not before that, if the job's retry policy has such delays. ``context`` holds JSON values.
    """

    def __init__(
        self, message: str, *, context: dict[str, Any] | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(
            ErrorCode.HANDLER_FAILED,
            message,
            recoverable=True,
            context=context,
            retry_after_seconds=retry_after_seconds,
        )


class FatalError(AmpError):
    """Raise it when no other try can help: the job is FAILED. ``context`` holds JSON values."""

    def __init__(self, message: str, *, context: dict[str, Any] | None = None) -> None:
        super().__init__(ErrorCode.HANDLER_FAILED, message, context=context)


@dataclass(frozen=True)
class InputKind:
    """What is known of a kind of jobs where they are created: its ``name``, the model of its input, and where it comes
    from. ``hide``: takes secrets out of fields that the model does not know to hold any, by the names of these fields.
    """

    name: str
    input_model: type[BaseModel]
    source: str = "ampd"
    hide: Mapping[str, Hide] = field(default_factory=dict, kw_only=True)

    def read(self, content: Mapping[str, Any]) -> BaseModel:
        """Return the input of a job.

        :raises AmpError: INVALID_JOB_INPUT, with what is wrong and where; the values are not repeated.
        """
        try:
            return self.input_model.model_validate(content)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            raise AmpError(
                ErrorCode.INVALID_JOB_INPUT, f"the input of kind '{self.name}' is not valid: {_sentences(details)}"
            ) from None

    def take_apart(self, content: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[Path, str]]]:
        """Check the input of a job that is created; return it as it is stored, without its secrets, and these.

        :raises AmpError: INVALID_JOB_INPUT.
        """
        read = self.read(content)
        given = read.model_dump(mode="python", by_alias=True, exclude_unset=True)
        shown, secrets = split(given, read.model_dump(mode="json", by_alias=True, exclude_unset=True))
        for name, hide in self.hide.items():
            if name in shown:
                shown[name], found = hide(shown[name])
                secrets += [((name, *path), value) for path, value in found]
        self.read(merge(shown, secrets))  # what is stored must be readable again: a model of one's own may not be
        return shown, secrets


@dataclass(frozen=True)
class Kind(InputKind):
    """A kind of jobs, with what runs them."""

    run: Run = field(kw_only=True)


def kind_of(name: str, handler: object, *, source: str) -> Kind:
    """Return the kind that runs ``handler``, as an entry point names it.

    :raises TypeError: with what is wrong with it.
    """
    run = getattr(handler(), "run", None) if inspect.isclass(handler) else handler
    if not inspect.iscoroutinefunction(run):
        raise TypeError("want an async function, or a class with an async method run")
    try:
        parameters = list(inspect.signature(run).parameters.values())
        hints = typing.get_type_hints(run)
    except NameError as error:
        raise TypeError(f"the types of its parameters cannot be read: {error}") from None
    required = [each for each in parameters if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    if len(required) != 2 or len(parameters) != 2:
        raise TypeError("want two parameters: the input, and the context")
    model = hints.get(required[0].name)
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise TypeError(f"want a pydantic model as the type of its first parameter, {required[0].name!r}")
    return Kind(name, model, source, run=run)


def _sentences(details: list[ErrorDetails]) -> str:
    said = []
    for detail in details[:_MOST_DETAILS]:
        place = ".".join(str(step) for step in detail["loc"])
        said.append(f"{place}: {_sentence(detail)}" if place else _sentence(detail))
    return "; ".join(said) + (f"; and {len(details) - _MOST_DETAILS} more" if len(details) > _MOST_DETAILS else "")


def _sentence(detail: ErrorDetails) -> str:
    texts = {"missing": "is missing", "extra_forbidden": "is not known"}
    return texts.get(detail["type"], detail["msg"].removeprefix("Value error, "))
