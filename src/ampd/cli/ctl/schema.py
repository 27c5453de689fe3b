"""`ampctl schema`: whether SQL of a derived table is valid, and which columns it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ampd.cli.ctl import output
from ampd.cli.ctl.common import (
    DEFAULT_OPTIONS,
    Options,
    WronglyUsedError,
    admin_api,
    read_json_object,
    read_text,
)
from ampd.client import Ampd, TableSchema

NOTHING: list[str] = []
# What moves: a derived table names its sources by what stays.
_MOVING_REVISIONS = ("", "latest", "dev")


def infer_schema(
    sql: str | None = None,
    /,
    *,
    dependency: Annotated[list[str], Parameter(name=["--dependency", "-d"], negative=(), show_default=False)] = NOTHING,
    table: str = "query",
    file: Annotated[Path | None, Parameter(name=["--file", "-f"])] = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Check SQL of a derived table, and show the columns that it gives. Nothing is run.

    Parameters
    ----------
    sql
        One SELECT over tables alias.table; read from standard input unless given.
    dependency
        A dataset that it reads: alias=namespace/name@revision; without a revision it is `latest`. May be repeated.
    table
        The name of the table, for messages.
    file
        In place of SQL: a JSON file with tables, dependencies and functions, as POST /schema takes it.
    """
    failure = "failed to infer a schema"
    if sql is not None and file is not None:
        raise WronglyUsedError(failure, ["want SQL, or a request in --file, and not both"])
    if file is not None and dependency:
        raise WronglyUsedError(failure, ["the request in --file has its own dependencies: leave --dependency away"])
    request = {} if file is None else read_json_object(file, failure)
    text = read_text(Path("-"), failure) if sql is None and file is None else sql
    aliases = _aliases(dependency, failure)
    with admin_api(options, failure) as client:
        if file is None:
            request = {"tables": {table: text}, "dependencies": _lasting(client, aliases)}
        schemas = client.schemas.infer(**_parts(request, failure))
    answer = {"schemas": {name: schema.raw for name, schema in schemas.items()}}
    output.emit(answer, _layout(schemas), as_json=options.json)


def _parts(request: Mapping[str, Any], failure: str) -> dict[str, Any]:
    known = ("tables", "dependencies", "functions")
    unknown = sorted(set(request) - set(known))
    if unknown:
        cause = f"the request has {', '.join(map(repr, unknown))}; known are {', '.join(known)}"
        raise WronglyUsedError(failure, [cause])
    parts = {name: request.get(name, {}) for name in known}
    if not all(isinstance(part, dict) for part in parts.values()):
        raise WronglyUsedError(failure, [f"{', '.join(known)} of the request are JSON objects"])
    return parts


def _aliases(texts: Sequence[str], failure: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (alias, equals, reference) in zip(texts, pairs, strict=True):
        if not (alias and equals and reference):
            raise WronglyUsedError(failure, [f"--dependency {text}: want alias=namespace/name@revision"])
    return {alias: reference for alias, _, reference in pairs}


def _lasting(client: Ampd, aliases: Mapping[str, str]) -> dict[str, str]:
    """Return references that name a version or a manifest hash, as the Admin API wants them here."""
    lasting = {}
    for alias, reference in aliases.items():
        name, _, revision = reference.partition("@")
        moves = revision in _MOVING_REVISIONS
        lasting[alias] = f"{name}@{client.datasets.inspect(reference).manifest_hash}" if moves else reference
    return lasting


def _layout(schemas: Mapping[str, TableSchema]) -> str:
    lines = []
    for name, schema in schemas.items():
        width = max((len(column.name) for column in schema.columns), default=0)
        lines.append(f"{name}:")
        lines += [
            f"  {column.name:<{width}}  {_type(column.type)}{'' if column.nullable else ' not null'}"
            for column in schema.columns
        ]
    return "\n".join(lines) or "No tables"


def _type(kind: Any) -> str:
    """Return an Arrow type in one line: ``Decimal128(38, 0)``, ``List(UInt8)``, ``Struct(a: Utf8, b: Int32)``."""
    if isinstance(kind, str):
        return kind
    name, inner = next(iter(kind.items()))
    if name == "Struct":
        fields = (f"{field['name']}: {_type(field['data_type'])}" for field in inner)
        return f"Struct({', '.join(fields)})"
    parts = inner if isinstance(inner, list) else [inner]
    return f"{name}({', '.join(_part(part) for part in parts if part is not None)})"


def _part(part: Any) -> str:
    return _type(part["data_type"]) if isinstance(part, dict) else str(part)
