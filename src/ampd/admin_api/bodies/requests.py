"""Bodies and parameters of requests; those for lists of jobs and operations on them are in job_requests.py. A key that
nobody knows is refused: it is a typing error more often than not.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import Body, Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from ampd.admin_api.bodies.schedule_requests import ScheduleRequest
from ampd.admin_api.bodies.shapes import (
    END_BLOCK,
    MANIFEST_HASH,
    NAME,
    NAMESPACE,
    NODE_ID,
    PROVIDER_NAME,
    REFERENCE,
    VERSION,
    WORKER_SELECTOR,
    shaped,
    within,
)
from ampd.admin_api.bodies.strict import MAX_INT64, Strict, refuse_strange_values
from ampd.chain.sampling import DEFAULT_MODE, VerifyMode
from ampd.datasets import SUPPORTED_KINDS, generate_manifest
from ampd.errors import AmpError
from ampd.jobs import validate_node_id

MAX_INT32 = 2**31 - 1
MAX_WRITERS = 2**16 - 1
DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
MAX_DEPENDENCIES = 100
MAX_DELAY_SECONDS = 30 * 86_400

JobId = Annotated[int, Path(alias="id", ge=1, le=MAX_INT64, description="id of a job")]
NodeId = Annotated[str, Path(alias="id", description="id of a worker", json_schema_extra=NODE_ID)]
EventId = Annotated[int, Path(ge=1, le=MAX_INT64, description="id of an event")]


def _example_manifest() -> dict[str, Any]:
    """Return a manifest that fits a page: one with the blocks alone."""
    whole = generate_manifest("evm-rpc", "mainnet", 0, False).to_json()
    return {**whole, "tables": {"blocks": whole["tables"]["blocks"]}}


EXAMPLE_MANIFEST: Final = _example_manifest()
ManifestBody = Annotated[dict[str, Any], AfterValidator(refuse_strange_values), Body(examples=[EXAMPLE_MANIFEST])]


class EventListQuery(Strict):
    """Query parameters of GET /jobs/{id}/events."""

    limit: int = Field(
        default=MAX_LIMIT,
        description=f"how many events at most, 1 to {MAX_LIMIT}",
        json_schema_extra=within(1, MAX_LIMIT),
    )
    after: int = Field(default=0, ge=0, le=MAX_INT64, description="the next_cursor of the page before: an event's id")
    newest_first: bool = Field(default=False, description="the newest event first, and older ones behind it")


def _normal_end_block(value: Any) -> Any:
    if isinstance(value, str | int) and not isinstance(value, bool):
        text = str(value).strip()
        if text == "latest":
            return text
        if re.fullmatch(r"-?[0-9]{1,19}", text) and abs(int(text)) <= MAX_INT64:
            return str(int(text)) if text != "-0" else "latest"
    if value is None:
        return None
    raise ValueError('want null (follow the chain), "latest", a block number, or -N (N blocks behind the latest)')


def checked_selector(value: str | None) -> str | None:
    """Return the selector of a worker when it is one."""
    if value is None:
        return None
    try:
        validate_node_id(value.removesuffix("*"))
    except AmpError as error:
        raise ValueError(f"{error.message}; want the id of a worker, or the beginning of ids and a '*'") from None
    return value


Selector = Annotated[Annotated[StrictStr, shaped(WORKER_SELECTOR)] | None, AfterValidator(checked_selector)]
Dependencies = Annotated[
    list[Annotated[StrictStr, shaped(REFERENCE)] | Annotated[StrictInt, Field(ge=1, le=MAX_INT64)]],
    Field(max_length=MAX_DEPENDENCIES),
]


_Delay = Annotated[StrictFloat | StrictInt, shaped(within(0, MAX_DELAY_SECONDS))]


class RetryRequest(Strict):
    """How long to wait before a failed attempt is tried again. What is not given has its default."""

    initial_delay_secs: _Delay = Field(default=1.0, ge=0, le=MAX_DELAY_SECONDS)
    multiplier: Annotated[StrictFloat | StrictInt, shaped(within(1, 100))] = Field(default=2.0, ge=1, le=100)
    max_delay_secs: _Delay = Field(default=300.0, ge=0, le=MAX_DELAY_SECONDS)
    jitter: Annotated[StrictFloat | StrictInt, shaped(within(0, 1))] = Field(
        default=0.25, ge=0, le=1, description="the share of a delay that chance may take away"
    )


Verify = Annotated[
    VerifyMode,
    BeforeValidator(VerifyMode.parse),
    WithJsonSchema({"enum": [*VerifyMode, False, True], "default": str(DEFAULT_MODE)}),
]


class DeployRequest(Strict):
    """Body of a deploy; everything is optional."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"end_block": "latest", "parallelism": 4, "worker_id": "eth-*"}]}
    )

    end_block: Annotated[StrictStr | StrictInt | None, BeforeValidator(_normal_end_block), END_BLOCK] = Field(
        default=None, description='null follows the chain; "latest", "N" and "-N" (N behind the latest) end'
    )
    parallelism: StrictInt = Field(
        default=1, ge=1, le=MAX_WRITERS, description="how many block ranges are worked on at once"
    )
    worker_id: Selector = Field(default=None, description="the worker that must run it: its id, or a prefix and '*'")
    verify: Verify = Field(
        default=DEFAULT_MODE,
        description="recompute what blocks commit to before they are written: of no block, of a sample of every batch, "
        "or of every block; false is off, true is full",
    )
    priority: StrictInt = Field(default=0, ge=-MAX_INT32, le=MAX_INT32, description="the higher is placed first")
    depends_on: Dependencies = Field(
        default_factory=list,
        description="what must have completed before: ids of jobs, or references of datasets (their extraction jobs)",
    )
    retries: Annotated[StrictInt, Field(ge=0, le=MAX_INT32)] | None = Field(
        default=None, description="how often a failure that may pass is tried again; null: without limit"
    )
    retry: RetryRequest | None = Field(default=None, description="how long to wait between tries")
    schedule: ScheduleRequest | None = Field(default=None, description="when it runs; now, once, unless given")


class VerifyRequest(Strict):
    """Body of a verification; everything is optional."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"start_block": 17000000, "end_block": 17999999}]})

    start_block: Annotated[StrictInt, Field(ge=0, le=MAX_INT64)] | None = Field(
        default=None, description="null: the dataset's first block"
    )
    end_block: Annotated[StrictInt, Field(ge=0, le=MAX_INT64)] | None = Field(
        default=None, description="null: the last block that the lake has when the job starts"
    )
    worker_id: Selector = Field(default=None, description="the worker that must run it: its id, or a prefix and '*'")
    priority: StrictInt = Field(default=0, ge=-MAX_INT32, le=MAX_INT32, description="the higher is placed first")


class GenerateManifestRequest(Strict):
    """Body of POST /manifests/generate."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "evm-rpc", "network": "mainnet"}]})

    kind: Annotated[StrictStr, shaped({"enum": list(SUPPORTED_KINDS)})]
    network: Annotated[StrictStr, Field(pattern="^[!-~](?:[ -~]*[!-~])?$", description="as its provider names it")]
    start_block: StrictInt = Field(default=0, ge=0, le=MAX_INT64, description="the first block that is extracted")
    finalized_blocks_only: StrictBool = Field(default=False, description="leave out what a reorg could still replace")


class RegisterDatasetRequest(Strict):
    """Body of POST /datasets. ``manifest`` is a manifest, or the hash of a registered one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"namespace": "ethereum", "name": "mainnet", "version": "1.0.0", "manifest": EXAMPLE_MANIFEST}]
        }
    )

    namespace: Annotated[StrictStr, shaped(NAMESPACE)]
    name: Annotated[StrictStr, shaped(NAME)]
    version: Annotated[StrictStr, shaped(VERSION)] | None = None
    manifest: Annotated[StrictStr, shaped(MANIFEST_HASH)] | dict[str, Any]


def _say_network(schema: dict[str, Any]) -> None:
    """Say what is checked with the settings of the kind: every kind has a network."""
    schema["properties"]["network"] = {"type": "string", "minLength": 1, "title": "Network"}
    schema["required"] = [*schema["required"], "network"]
    schema["examples"] = [{"name": "mainnet", "kind": "evm-rpc", "network": "mainnet", "url": "${RPC_URL}"}]


class RegisterProviderRequest(BaseModel):
    """Body of POST /providers: ``name``, ``kind``, and the settings of that kind beside them."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_say_network)

    name: Annotated[StrictStr, shaped(PROVIDER_NAME)]
    kind: StrictStr

    @model_validator(mode="before")
    @classmethod
    def _refuse_strange(cls, data: Any) -> Any:
        return refuse_strange_values(data)
