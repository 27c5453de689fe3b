"""Bodies and parameters of requests. A key that nobody knows is refused: it is a typing error more often than not."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from ampd.errors import AmpError
from ampd.jobs import validate_node_id

MAX_INT64 = 2**63 - 1
MAX_INT32 = 2**31 - 1
MAX_WRITERS = 2**16 - 1
DEFAULT_LIMIT = 50
MAX_LIMIT = 1000

JobId = Annotated[int, Path(alias="id", ge=1, le=MAX_INT64, description="id of a job")]
NodeId = Annotated[str, Path(alias="id", description="id of a worker")]
EventId = Annotated[int, Path(ge=1, le=MAX_INT64, description="id of an event")]


def refuse_strange_values(value: Any) -> Any:
    """Refuse what JSON texts can carry but neither TOML nor PostgreSQL can keep."""
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_strange_values(key)
            refuse_strange_values(item)
    elif isinstance(value, list):
        for item in value:
            refuse_strange_values(item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and Infinity are not JSON numbers")
    elif isinstance(value, int) and abs(value) > MAX_INT64:
        raise ValueError("a number is beyond 64 bits")
    elif isinstance(value, str) and re.search("[\x00\ud800-\udfff]", value):
        raise ValueError("a text holds a NUL or half of a surrogate pair")
    return value


JsonBody = Annotated[dict[str, Any], AfterValidator(refuse_strange_values)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        unknown = sorted(set(data) - set(cls.model_fields)) if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(cls.model_fields)
            raise ValueError(f"unknown {', '.join(map(repr, unknown))}; known are {known}")
        return refuse_strange_values(data)


class JobListQuery(_Strict):
    """Query parameters of GET /jobs. The range of ``limit`` is checked by the route: it has codes of its own."""

    limit: int = Field(default=DEFAULT_LIMIT, description=f"how many jobs at most, 1 to {MAX_LIMIT}")
    last_job_id: int | None = Field(default=None, ge=1, le=MAX_INT64, description="the next_cursor of the page before")
    status: str = Field(
        default="active",
        description="active, terminal, all, or states with commas between; any case; error and failed both mean FAILED",
    )


class JobDeleteQuery(_Strict):
    """Query parameters of DELETE /jobs."""

    status: str = Field(default="terminal", description="terminal, completed, stopped or error")


class JobDeleteRequest(_Strict):
    """Body of DELETE /jobs: the public Python client of the reference system names the jobs here."""

    job_ids: list[Annotated[StrictInt, Field(ge=1, le=MAX_INT64)]] = Field(max_length=MAX_LIMIT)


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


def _checked_selector(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        validate_node_id(value.removesuffix("*"))
    except AmpError as error:
        raise ValueError(f"{error.message}; want the id of a worker, or the beginning of ids and a '*'") from None
    return value


class DeployRequest(_Strict):
    """Body of a deploy; everything is optional."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"end_block": "latest", "parallelism": 4, "worker_id": "eth-*"}]}
    )

    end_block: Annotated[StrictStr | StrictInt | None, BeforeValidator(_normal_end_block)] = Field(
        default=None, description='null follows the chain; "latest", "N" and "-N" (N behind the latest) end'
    )
    parallelism: StrictInt = Field(
        default=1, ge=1, le=MAX_WRITERS, description="how many block ranges are worked on at once"
    )
    worker_id: Annotated[StrictStr | None, AfterValidator(_checked_selector)] = Field(
        default=None, description="the worker that must run it: its id, or a prefix and '*'"
    )
    verify: StrictBool = Field(
        default=False,
        description="check every block against its commitments (not supported yet: only false is taken)",
    )
    priority: StrictInt = Field(default=0, ge=-MAX_INT32, le=MAX_INT32, description="the higher is placed first")


class RegisterDatasetRequest(_Strict):
    """Body of POST /datasets. ``manifest`` is a manifest, or the hash of a registered one."""

    namespace: StrictStr
    name: StrictStr
    version: StrictStr | None = None
    manifest: StrictStr | dict[str, Any]


class RegisterProviderRequest(BaseModel):
    """Body of POST /providers: ``name``, ``kind``, and the settings of that kind beside them."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [{"name": "mainnet", "kind": "evm-rpc", "network": "mainnet", "url": "${RPC_URL}"}]
        },
    )

    name: StrictStr
    kind: StrictStr

    @model_validator(mode="before")
    @classmethod
    def _refuse_strange(cls, data: Any) -> Any:
        return refuse_strange_values(data)
