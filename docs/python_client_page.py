"""The page of the Python client, from its signatures and docstrings. See generate.py."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, is_typeddict

from ampd import client

RESOURCES: Final = ("jobs", "datasets", "workers", "manifests", "providers", "webhooks", "events")
INTRODUCTION: Final = """
`Ampd` is the synchronous client, `AsyncAmpd` the asynchronous one. Both have the same resources, with the same calls;
those of `AsyncAmpd` are awaited, and what a call goes through (`Iterator`) is gone through by `async for`.

```python
from ampd.client import Ampd

with Ampd("http://127.0.0.1:1610") as ampd:
    job = ampd.jobs.create("compaction", {"dataset": "ethereum/mainnet"}, product="my-app")
    print(ampd.jobs.wait(job.id, timeout=600).status)
```

How it is used is told in [Use the Python client](../how-to/python-client.md). `Moment` is a datetime that knows its
time zone, milliseconds since 1970, or text (RFC 3339); `JobId` a number, or that as text. `VerifyMode` is `"off"`,
`"sample"` or `"full"`.
"""
TableOf = Callable[[Sequence[str], Iterator[Sequence[str]]], str]


def client_page(table: TableOf, note: str) -> str:
    """Return the page. ``table`` makes a Markdown table, ``note`` stands below the title."""
    text = f"# The Python client\n\n{note}{INTRODUCTION}\n## Clients\n"
    text += "".join(_class_head(name) for name in ("Ampd", "AsyncAmpd"))
    with client.Ampd() as ampd:
        for name in RESOURCES:
            text += _resource(name, type(getattr(ampd, name)))
    shown = {name: getattr(client, name) for name in client.__all__}
    text += "\n## Options\n\nWhat `**` stands for in the calls above: named arguments, all of them optional.\n"
    text += "".join(_fields(each, table, each.__annotations__) for each in shown.values() if is_typeddict(each))
    text += "\n## Answers\n\nFrozen dataclasses. Each has the answer as it came in `raw`, if it is one of its own.\n"
    answers = [each for each in shown.values() if dataclasses.is_dataclass(each)]
    text += "".join(_fields(each, table, _annotations(each)) for each in answers)
    text += "\n## Values\n" + "".join(_value(shown[name]) for name in ("Instant", "JobStatus", "JobError"))
    text += "\n## Errors\n" + "".join(_value(shown[name]) for name in ("ApiError", "WebhookVerificationError"))
    text += "\n## For receivers of webhooks\n" + _call("", "verify_webhook", client.verify_webhook)
    return text


def _class_head(name: str) -> str:
    made = getattr(client, name)
    return f"\n### {name}\n\n```python\n{_signature(name, made)}\n```\n\n{_said(made)}\n"


def _resource(name: str, made: type) -> str:
    calls = {key: value for key, value in vars(made).items() if not key.startswith("_")}
    text = f"\n## {name}\n\n{_said(made)}\n"
    return text + "".join(_call(f"{name}.", key, value) for key, value in calls.items())


def _call(prefix: str, name: str, function: Callable[..., Any]) -> str:
    return f"\n### {prefix}{name}\n\n```python\n{_signature(prefix + name, function)}\n```\n\n{_said(function)}\n"


def _signature(name: str, function: Callable[..., Any]) -> str:
    """Return a call as it is written in code, on one line or on a line for each parameter."""
    signature = inspect.signature(function)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    texts = list(_parameters(parameters))
    answer = "" if inspect.isclass(function) else f" -> {_type(signature.return_annotation)}"
    line = f"{name}({', '.join(texts)}){answer}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {text},\n" for text in texts) + f"){answer}"


def _parameters(parameters: Sequence[inspect.Parameter]) -> Iterator[str]:
    had_star = False
    for each in parameters:
        if each.kind is inspect.Parameter.KEYWORD_ONLY and not had_star:
            had_star = True
            yield "*"
        stars = "**" if each.kind is inspect.Parameter.VAR_KEYWORD else ""
        default = "" if each.default is inspect.Parameter.empty else f" = {each.default!r}"
        yield f"{stars}{each.name}: {_type(each.annotation)}{default}"


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__forward_arg__", str(annotation))
    text = re.sub(r"Unpack\[(\w+)\]", r"\1", text)
    return text.replace("builtins.", "").replace("dt.datetime", "datetime")


def _said(thing: Any) -> str:
    """Return a docstring as Markdown."""
    words = re.compile(r":\w+:`~?([^`]+)`|``([^`]+)``")
    text = words.sub(lambda found: f"`{found[1] or found[2]}`", inspect.getdoc(thing) or "")
    return re.sub(r":raises (\w+): ", r"Raises `\1`: ", text)


def _annotations(made: Any) -> Mapping[str, Any]:
    return {field.name: field.type for field in dataclasses.fields(made) if field.name != "raw"}


def _fields(made: Any, table: TableOf, types: Mapping[str, Any]) -> str:
    rows = ((f"`{name}`", f"`{_type(annotation)}`") for name, annotation in types.items())
    more = "".join(f"\n`{name}`: {_said(value)}\n" for name, value in vars(made).items() if isinstance(value, property))
    return f"\n### {made.__name__}\n\n{_said(made)}\n\n{table(('name', 'type'), rows)}{more}"


def _value(made: Any) -> str:
    members = (
        (name, getattr(value, "__doc__", None))
        for name, value in vars(made).items()
        if not name.startswith("_") and (isinstance(value, property) or inspect.isfunction(value))
    )
    text = "".join(f"- `{name}`: {_said(getattr(made, name))}\n" for name, doc in members if doc)
    return f"\n### {made.__name__}\n\n{_said(made)}\n" + (f"\n{text}" if text else "")
