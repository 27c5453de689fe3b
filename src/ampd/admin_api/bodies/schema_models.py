"""Request and answer of POST /schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr

from ampd.admin_api.bodies.models import example
from ampd.admin_api.bodies.shapes import PINNED_REFERENCE, shaped
from ampd.admin_api.bodies.strict import Strict
from ampd.datasets.arrow_types import normal_type
from ampd.queries import Function
from ampd.queries.question import ALIAS_PATTERN, MAX_NAME_LENGTH, TABLE_PATTERN

MAX_TABLES = 100
MAX_DEPENDENCIES = 100
MAX_FUNCTIONS = 100

ArrowType = Annotated[Any, AfterValidator(normal_type)]


class FunctionSource(Strict):
    """The code of a function: its text, and the name of its file."""

    source: StrictStr
    filename: StrictStr


class FunctionRequest(Strict):
    """A function as manifests of derived datasets write it. Its code is not looked at."""

    input_types: list[ArrowType] = Field(alias="inputTypes", max_length=100, description="Arrow types of its arguments")
    output_type: ArrowType = Field(alias="outputType", description="the Arrow type of what it gives")
    source: FunctionSource | None = None

    def function(self) -> Function:
        """Return what planning needs of it."""
        return Function(tuple(self.input_types), self.output_type)


_TABLES = {"propertyNames": {"pattern": f"^{TABLE_PATTERN}$", "maxLength": MAX_NAME_LENGTH}}
_ALIASES = {"propertyNames": {"pattern": f"^{ALIAS_PATTERN}$", "maxLength": MAX_NAME_LENGTH}}


class SchemaRequest(Strict):
    """Body of POST /schema."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tables": {"transfers": "SELECT tx_hash, address AS token, topic1 AS sender FROM eth.logs"},
                    "dependencies": {"eth": "ethereum/mainnet@1.0.0"},
                }
            ]
        }
    )

    tables: Annotated[dict[str, StrictStr], shaped(_TABLES)] = Field(
        default_factory=dict, max_length=MAX_TABLES, description="one query by the name of each table"
    )
    dependencies: Annotated[dict[str, Annotated[StrictStr, shaped(PINNED_REFERENCE)]], shaped(_ALIASES)] = Field(
        default_factory=dict,
        max_length=MAX_DEPENDENCIES,
        description="the datasets that queries read, by alias: namespace/name@revision, the revision a semantic "
        "version or a manifest hash",
    )
    functions: Annotated[dict[str, FunctionRequest], shaped(_TABLES)] = Field(
        default_factory=dict, max_length=MAX_FUNCTIONS, description="functions that queries may call, as self.NAME"
    )


class ColumnBody(BaseModel):
    """A column; `type` is an Arrow type in the form of manifests."""

    name: str
    type: Any
    nullable: bool


class ArrowSchemaBody(BaseModel):
    """The columns of a table, in their order."""

    fields_: list[ColumnBody] = Field(alias="fields")


class TableSchemaBody(BaseModel):
    """The schema of a table."""

    arrow: ArrowSchemaBody


class SchemasBody(BaseModel):
    """The schemas of all tables that were asked for; `_block_num` is the first column of each."""

    model_config = example(
        {
            "schemas": {
                "transfers": {
                    "arrow": {
                        "fields": [
                            {"name": "_block_num", "type": "UInt64", "nullable": False},
                            {"name": "tx_hash", "type": {"FixedSizeBinary": 32}, "nullable": False},
                            {"name": "token", "type": {"FixedSizeBinary": 20}, "nullable": False},
                            {"name": "sender", "type": {"FixedSizeBinary": 32}, "nullable": True},
                        ]
                    }
                }
            }
        }
    )

    schemas: dict[str, TableSchemaBody]


def schemas_body(columns: dict[str, list[dict[str, Any]]]) -> SchemasBody:
    """Return the answer that tells ``columns`` by table."""
    return SchemasBody.model_validate(
        {"schemas": {table: {"arrow": {"fields": fields}} for table, fields in columns.items()}}
    )
