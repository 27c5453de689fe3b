"""The settings of providers, per kind, and what makes them valid."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ampd.datasets.manifests import SUPPORTED_KINDS, Text
from ampd.datasets.names import shown
from ampd.datasets.placeholders import check_placeholders, has_placeholder
from ampd.datasets.validation import explain_details
from ampd.errors import AmpError, ErrorCode

MAX_CONCURRENT_REQUESTS: Final = 2**16 - 1
MAX_TIMEOUT_SECS: Final = 3600.0
MAX_CONFIRMATIONS: Final = 1_000_000
MAX_BATCH_SIZE: Final = 1000  # as geth has it
MAX_CHAIN_ID: Final = 2**63 - 1  # stored as PostgreSQL's bigint
_SCHEMES: Final = ("http", "https", "ws", "wss")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.1


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("want a number")
    return value


_Number = BeforeValidator(_refuse_bool)


def _checked_url(url: str) -> str:
    """Check ``url``; messages never repeat it, because it may carry keys."""
    if not url.isprintable() or " " in url:
        raise ValueError("want a URL without spaces and control characters")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(
            "want a URL such as https://node.example.com:8545, but its host or port is malformed"
        ) from None
    if parts.scheme == "ipc":
        if parts.netloc or not parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("want the absolute path of a socket, such as ipc:///var/lib/node/geth.ipc")
    elif parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError("want a URL such as https://node.example.com:8545 (http, https, ws, wss or ipc)")
    return url


def _checked_token(token: str) -> str:
    if not token.strip() or not token.isprintable():
        raise ValueError("want a text that is not empty and has no control characters (a line end, perhaps)")
    return token


class EvmRpcProviderConfig(BaseModel):
    """Settings of a JSON-RPC endpoint of an EVM network, with all placeholders replaced.

    ``auth_token`` goes as ``Authorization: Bearer …``, or as it is in the header that ``auth_header`` names.
    ``confirmations`` is how many blocks a job stays behind the newest one. ``finality`` says which block is final: the
    one that the node calls so (``tag``), or the one that has so many blocks behind it.
    ``concurrent_request_limit`` and the two rate limits hold for each job on its own. ``timeout_secs`` (seconds) is the
    longest silence within an answer. ``rate_limit_per_minute`` counts requests, a batch as one;
    ``compute_units_per_second`` what every call costs, by ``compute_units`` (method = units).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Literal["evm-rpc"]
    network: Text
    url: Annotated[str, AfterValidator(_checked_url)] = Field(repr=False)
    auth_token: Annotated[str, AfterValidator(_checked_token)] | None = Field(default=None, repr=False)
    auth_header: str | None = None
    concurrent_request_limit: Annotated[int, _Number] = Field(default=16, ge=1, le=MAX_CONCURRENT_REQUESTS)
    timeout_secs: Annotated[float, _Number] = Field(default=30.0, gt=0, le=MAX_TIMEOUT_SECS)
    confirmations: Annotated[int, _Number] = Field(default=0, ge=0, le=MAX_CONFIRMATIONS)
    finality: Literal["tag"] | Annotated[int, _Number, Field(ge=0, le=MAX_CONFIRMATIONS)] = "tag"
    rpc_batch_size: Annotated[int, _Number] = Field(default=0, ge=0, le=MAX_BATCH_SIZE)
    rate_limit_per_minute: Annotated[int, _Number] | None = Field(default=None, ge=1)
    compute_units_per_second: Annotated[float, _Number] | None = Field(default=None, gt=0)
    compute_units: dict[str, Annotated[int, _Number, Field(ge=0)]] = {}
    fetch_receipts_per_tx: bool = False

    @field_validator("auth_header")
    @classmethod
    def _check_header(cls, header: str | None) -> str | None:
        if header is not None and not _HEADER_NAME.fullmatch(header):
            raise ValueError("want the name of an HTTP header, such as X-Api-Key")
        return header

    @model_validator(mode="after")
    def _check_header_has_token(self) -> Self:
        if self.auth_header is not None and self.auth_token is None:
            raise ValueError("auth_header without auth_token sends nothing; give both or none")
        return self

    @model_validator(mode="after")
    def _check_units_have_a_limit(self) -> Self:
        if self.compute_units and self.compute_units_per_second is None:
            raise ValueError("compute_units without compute_units_per_second limits nothing; give both or none")
        return self


def _checked_server_url(url: str) -> str:
    """Check the URL of a gRPC server; messages never repeat it."""
    parts = urlsplit(_checked_url(url))
    if parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            "want the URL of a gRPC server, such as https://firehose.example.com:443 (http or https, no path)"
        )
    return url


class FirehoseProviderConfig(BaseModel):
    """Settings of a Firehose server of an EVM network, with all placeholders replaced.

    ``https`` in the URL is TLS, ``http`` none. ``token`` goes as ``authorization: bearer …``. ``chain_id`` (EIP-155) is
    needed when the network is not a known one. ``confirmations`` and ``finality`` are as of
    :class:`EvmRpcProviderConfig`; with ``tag`` the block is final that the server calls irreversible. ``timeout_secs``
    (seconds) is the longest silence where blocks should come.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Literal["firehose"]
    network: Text
    url: Annotated[str, AfterValidator(_checked_server_url)] = Field(repr=False)
    token: Annotated[str, AfterValidator(_checked_token)] | None = Field(default=None, repr=False)
    chain_id: Annotated[int, _Number] | None = Field(default=None, ge=1, le=MAX_CHAIN_ID)
    timeout_secs: Annotated[float, _Number] = Field(default=60.0, gt=0, le=MAX_TIMEOUT_SECS)
    confirmations: Annotated[int, _Number] = Field(default=0, ge=0, le=MAX_CONFIRMATIONS)
    finality: Literal["tag"] | Annotated[int, _Number, Field(ge=0, le=MAX_CONFIRMATIONS)] = "tag"


ProviderConfig = EvmRpcProviderConfig | FirehoseProviderConfig
CONFIG_OF_KIND: Final[dict[str, type[EvmRpcProviderConfig] | type[FirehoseProviderConfig]]] = {
    "evm-rpc": EvmRpcProviderConfig,
    "firehose": FirehoseProviderConfig,
}


def parse_config(config: dict[str, Any], where: str) -> ProviderConfig:
    """Return the settings of ``config``, which is of a kind of :data:`CONFIG_OF_KIND` and whose placeholders are
    replaced already.

    :raises AmpError: INVALID_PROVIDER naming ``where`` and the keys.
    """
    model = CONFIG_OF_KIND[config["kind"]]
    try:
        return model.model_validate(config)
    except ValidationError as error:
        raise _invalid(where, explain_details(_details(error)), model) from None


def check_raw_config(config: dict[str, Any], where: str) -> None:
    """Check ``config`` as it stands in a file. A value with a placeholder is judged when the provider is used.

    :raises AmpError: INVALID_PROVIDER naming ``where`` and the keys.
    """
    for key in ("kind", "network"):
        if not isinstance(config.get(key), str):
            raise _invalid(where, f"the key '{key}' is missing or no text")
    check_placeholders(config, where)
    model = CONFIG_OF_KIND.get(config["kind"])
    if model is None:
        return
    try:
        model.model_validate(config)
    except ValidationError as error:
        details = [d for d in _details(error) if not (d["loc"] and has_placeholder(config.get(str(d["loc"][0]))))]
        if details:
            raise _invalid(where, explain_details(details), model) from None


def check_registrable(config: dict[str, Any], where: str) -> None:
    """Check what :func:`check_raw_config` checks, and that ampd can use a provider of this kind.

    :raises AmpError: INVALID_PROVIDER.
    """
    for key in ("kind", "network"):
        if has_placeholder(config.get(key)):
            raise _invalid(where, f"'{key}' finds the provider and cannot be a placeholder: write the value itself")
    check_raw_config(config, where)
    if config["kind"] not in CONFIG_OF_KIND:
        supported = ", ".join(map(repr, SUPPORTED_KINDS))
        raise _invalid(where, f"kind {shown(config['kind'])} is not supported yet; supported are {supported}")


def _details(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _invalid(where: str, what: str, model: type[BaseModel] | None = None) -> AmpError:
    known = "" if model is None else ", ".join(model.model_fields)
    hint = f" (known are {known})" if known and "unknown field" in what else ""
    return AmpError(ErrorCode.INVALID_PROVIDER, f"{where}: {what}{hint}")
