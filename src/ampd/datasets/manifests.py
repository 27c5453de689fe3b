"""Dataset manifests: what is extracted, from which network, into which tables.

A manifest is immutable. It is known by the SHA-256 of its canonical JSON: compact, keys of objects in the order of
this module, defaults filled in, tables ordered by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ampd.chain.tables import FIREHOSE_TABLES, TABLES
from ampd.datasets.arrow_types import normal_type, type_to_json
from ampd.datasets.names import shown
from ampd.datasets.validation import explain
from ampd.errors import AmpError, ErrorCode

SUPPORTED_KINDS: Final = ("evm-rpc", "firehose")
# Kinds of the reference system that may come one day.
FUTURE_KINDS: Final = ("solana", "manifest", "static")
TABLES_OF_KIND: Final[dict[str, dict[str, pa.Schema]]] = {"evm-rpc": TABLES, "firehose": FIREHOSE_TABLES}
# Block numbers are stored as PostgreSQL's bigint.
MAX_BLOCK_NUMBER: Final = 2**63 - 1


def _checked_text(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("want a text that is not empty and has no control characters")
    return text


Text = Annotated[str, AfterValidator(_checked_text)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Column(_Strict):
    """A column of a table; ``type`` is the JSON of an Arrow type (:mod:`ampd.datasets.arrow_types`)."""

    name: Text
    type: Annotated[Any, AfterValidator(normal_type)]
    nullable: bool


class ArrowSchema(_Strict):
    """The columns of a table, in their order."""

    fields_: list[Column] = Field(alias="fields", min_length=1)

    @field_validator("fields_")
    @classmethod
    def _refuse_repeated_names(cls, columns: list[Column]) -> list[Column]:
        names = [column.name for column in columns]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"more than one column is named {', '.join(map(repr, repeated))}")
        return columns


class TableSchema(_Strict):
    """The schema of a table."""

    arrow: ArrowSchema


class Table(_Strict):
    """A table of a manifest."""

    schema_: TableSchema = Field(alias="schema")
    network: Text


class RawManifest(_Strict):
    """A dataset of an EVM chain, read through what its ``kind`` says.

    ``tables`` are those that jobs extract: all of the kind, or some. Extraction begins at ``start_block``;
    ``finalized_blocks_only`` keeps it behind the finalized head.
    """

    kind: Literal["evm-rpc", "firehose"]
    network: Text
    start_block: int = Field(default=0, ge=0, le=MAX_BLOCK_NUMBER)
    finalized_blocks_only: bool = False
    tables: dict[str, Table] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_tables(self) -> RawManifest:
        known = TABLES_OF_KIND[self.kind]
        unknown = sorted(set(self.tables) - set(known))
        if unknown:
            raise ValueError(
                f"kind '{self.kind}' has no table {', '.join(map(shown, unknown))}; its tables are {', '.join(known)}"
            )
        for name, table in self.tables.items():
            if table.network != self.network:
                raise ValueError(
                    f"tables.{name}.network is {shown(table.network)}, but the manifest's network is "
                    f"{shown(self.network)}; they must be the same"
                )
        return self

    @property
    def table_names(self) -> list[str]:
        """The names of the tables, ordered by name."""
        return sorted(self.tables)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values in canonical order."""
        content = self.model_dump(by_alias=True)
        content["tables"] = {name: content["tables"][name] for name in self.table_names}
        return content

    def canonical_json(self) -> bytes:
        """Return the bytes that are stored and hashed."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    def hash(self) -> str:
        """Return the SHA-256 of the canonical JSON: 64 hexadecimal digits, lower case."""
        return hashlib.sha256(self.canonical_json()).hexdigest()


# The name from when there was one kind.
EvmRpcManifest = RawManifest


def generate_manifest(
    kind: str, network: str, start_block: int = 0, finalized_blocks_only: bool = False
) -> RawManifest:
    """Return the manifest with all tables of ``kind``.

    :raises AmpError: INVALID_MANIFEST.
    """
    _check_kind(kind)
    tables = {name: _table_json(schema, network) for name, schema in TABLES_OF_KIND[kind].items()}
    return parse_manifest(
        {
            "kind": kind,
            "network": network,
            "start_block": start_block,
            "finalized_blocks_only": finalized_blocks_only,
            "tables": tables,
        }
    )


def _table_json(schema: pa.Schema, network: str) -> dict[str, Any]:
    fields = [{"name": field.name, "type": type_to_json(field.type), "nullable": field.nullable} for field in schema]
    return {"schema": {"arrow": {"fields": fields}}, "network": network}


def parse_manifest(data: Any) -> RawManifest:
    """Return the manifest that ``data`` holds: JSON text (str or bytes) or the values of a parsed one.

    :raises AmpError: INVALID_MANIFEST; the message says where it is wrong.
    """
    content = _values_of_text(data) if isinstance(data, str | bytes) else data
    if not isinstance(content, dict):
        raise _invalid(f"want a JSON object, not {_json_kind(content)}")
    _check_kind(content.get("kind"))
    try:
        manifest = RawManifest.model_validate(content)
        manifest.canonical_json()
    except ValidationError as error:
        known = ", ".join(RawManifest.model_fields)
        hint = f" (a manifest has {known})" if any(d["type"] == "extra_forbidden" for d in error.errors()) else ""
        raise _invalid(explain(error) + hint) from None
    except UnicodeEncodeError:
        raise _invalid("a text in it holds half of a surrogate pair, which UTF-8 cannot write") from None
    return manifest


def _check_kind(kind: Any) -> None:
    if kind in SUPPORTED_KINDS:
        return
    supported = f"supported are {', '.join(map(repr, SUPPORTED_KINDS))}"
    if kind is None:
        raise _invalid(f"the field 'kind' is missing; {supported}")
    if kind in FUTURE_KINDS:
        raise _invalid(f"kind '{kind}' is not supported yet; {supported}")
    raise _invalid(f"unknown kind {shown(str(kind))}; {supported}")


def _values_of_text(text: str | bytes) -> Any:
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_refuse_repeated_keys)
    except UnicodeDecodeError as error:
        raise _invalid(f"the text is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _invalid("not a manifest: its JSON is nested too deep") from None
    except ValueError as error:
        raise _invalid(f"not JSON that can be read: {error}") from None


def _refuse_repeated_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise _invalid(f"the field {shown(key)} stands twice in one object")
        content[key] = value
    return content


def _json_kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), type(value).__name__)


def _invalid(what: str) -> AmpError:
    return AmpError(
        ErrorCode.INVALID_MANIFEST,
        f"invalid manifest: {what}. 'ampctl manifest generate --kind evm-rpc --network NETWORK' writes a valid one",
    )
