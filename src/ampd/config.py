"""The configuration of ampd: a TOML file and ``AMP_CONFIG_*`` environment variables.

A variable is stronger than the file, the file is stronger than a default. ``__`` stands for a dot: the key
``metadata_db.url`` is the variable ``AMP_CONFIG_METADATA_DB__URL``. Units stand in the names of the keys. All that is
wrong is said at once: which key, where it was given, what is expected, what was found. Sources: the seed
``ampd worker`` (directories) and the reference system's keys.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from ampd.config_values import (
    AbsolutePath,
    Count,
    Days,
    Networks,
    Origins,
    Seconds,
    Section,
    checked_address,
    checked_database_url,
    checked_directory,
    checked_endpoint,
    checked_trace_url,
    no_boolean,
)
from ampd.config_worker_events import WorkerEventsConfig
from ampd.errors import AmpError, ErrorCode
from ampd.telemetry.logs import redact_text

ENV_PREFIX = "AMP_CONFIG_"
ENV_CONFIG_FILE = "AMP_CONFIG"
MISSING_METADATA_DB = (
    "Missing required metadata database configuration. Provide metadata_db.url via TOML config file or "
    "AMP_CONFIG_METADATA_DB__URL environment variable"
)
# Keys of the reference system that ampd does not need: an existing file keeps working, and each is reported once.
IGNORED_KEYS = (
    "max_mem_mb",
    "query_max_mem_mb",
    "spill_location",
    "microbatch_max_interval",
    "server_microbatch_max_interval",
    "keep_alive_interval",
    "flight_addr",
    "jsonl_addr",
    "metadata_db.min_connections",
    "metadata_db.max_lifetime_secs",
    "metadata_db.idle_timeout_secs",
    "opentelemetry.metrics_url",
    "opentelemetry.metrics_export_interval_secs",
    "writer.bloom_filters",
    "writer.cache_size_mb",
    "writer.max_row_group_mb",
    "writer.segment_flush_interval_secs",
    "writer.overflow",
    "writer.bytes",
    "writer.rows",
    "writer.compactor.*",
    "writer.collector.*",
    "writer.garbage_collector.*",
)
# Old names of the reference system: the weakest way to give a key.
OLD_NAMES = {
    "metadata_db_url": ("metadata_db", "url"),
    "dataset_defs_dir": ("manifests_dir",),
    "worker_events.progress_interval": ("worker_events", "progress_interval_secs"),
}
DIRECTORIES = {"data_dir": "data", "providers_dir": "providers", "manifests_dir": "manifests"}
# The highest level of each codec that has levels.
CODEC_LEVELS = {"zstd": (1, 22), "gzip": (0, 9)}
CODECS = ("zstd", "lz4", "snappy", "gzip", "uncompressed")


@dataclass(frozen=True)
class Compression:
    """How Parquet pages are compressed: ``codec`` by its word in the config file, ``level`` None for its default."""

    codec: str
    level: int | None = None


def parse_compression(text: str) -> Compression:
    """Read ``zstd(1)``, ``lz4``, ``snappy``, ``gzip`` or ``uncompressed``.

    :raises ValueError: with what is expected.
    """
    match = re.fullmatch(r"([a-z0-9]+)(?:\((\d{1,3})\))?", text.strip().lower())
    codec, level = (match[1], match[2]) if match else ("", None)
    if codec not in CODECS:
        raise ValueError(f"must be one of zstd(1) … zstd(22), {', '.join(CODECS[1:])}")
    if level is None:
        return Compression(codec)
    lowest, highest = CODEC_LEVELS.get(codec, (1, 0))
    if not lowest <= int(level) <= highest:
        raise ValueError(
            f"must have a level from {lowest} to {highest}, as in {codec}({highest})"
            if highest
            else f"must be {codec} alone: it has no levels"
        )
    return Compression(codec, int(level))


def _compression(text: str) -> str:
    parse_compression(text)
    return text


Directory = Annotated[str, AfterValidator(checked_directory)]


class AdminApiConfig(Section):
    """Who may reach the Admin API, and how much each may ask of it."""

    tls_cert_file: AbsolutePath | None = None
    tls_key_file: AbsolutePath | None = None
    cors_origins: Origins = ()
    requests_per_minute: Annotated[int, BeforeValidator(no_boolean), Field(ge=0)] = 6000
    dashboard: bool = True
    sign_ins_per_minute: Annotated[int, BeforeValidator(no_boolean), Field(ge=0)] = 10
    request_timeout_secs: Seconds = 30.0
    max_connections: Count = 500

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file belong together: give both, or none")
        return self


class MetadataDbConfig(Section):
    """Where PostgreSQL is. The URL holds a password: it is not part of ``repr``."""

    url: Annotated[str, AfterValidator(checked_database_url)] | None = Field(default=None, repr=False)
    pool_size: Count = 10
    auto_migrate: bool = True


class WorkerConfig(Section):
    """How a worker shows that it lives, and how much it does at once (design section 4.4)."""

    heartbeat_interval_secs: Seconds = 1.0
    lease_secs: Seconds = 5.0
    reconcile_interval_secs: Seconds = 60.0
    slots: Count = 4
    drain_timeout_secs: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    stop_timeout_secs: Seconds = 60.0
    metrics_addr: Annotated[str, AfterValidator(checked_address)] | None = None

    @model_validator(mode="after")
    def _one_lost_beat_is_no_death(self) -> Self:
        if self.lease_secs <= 2 * self.heartbeat_interval_secs:
            raise ValueError(
                "lease_secs must be more than twice heartbeat_interval_secs, or one late heartbeat loses the job; "
                f"found lease_secs = {self.lease_secs:g}, heartbeat_interval_secs = {self.heartbeat_interval_secs:g}"
            )
        return self


class WriterConfig(Section):
    """How Parquet files are written, and how large a range of blocks one commit covers (design section 7.1)."""

    compression: Annotated[str, AfterValidator(_compression)] = "zstd(1)"
    target_range_secs: Seconds = 10.0
    max_range_blocks: Count = 100_000
    max_range_bytes: Count = 128 * 1024 * 1024
    deletion_delay_secs: Seconds = 1800.0
    compaction: bool = True
    compaction_cooldown_secs: Seconds = 1024.0

    @property
    def parsed_compression(self) -> Compression:
        """``compression``, ready for use."""
        return parse_compression(self.compression)


class ObjectStoreConfig(Section):
    """How buckets are reached. Keys are never here: they come from the environment or from a profile."""

    endpoint: Annotated[str, AfterValidator(checked_endpoint)] | None = None
    region: str | None = None
    path_style: bool = True
    allow_http: bool = False
    profile: str | None = None
    timeout_secs: Seconds = 30.0
    retry_secs: Seconds = 30.0


class RetentionConfig(Section):
    """For how many days the history of jobs is kept, and jobs after their end; 0: for ever."""

    event_days: Days = 90.0
    terminal_job_days: Days = 0.0


class WebhooksConfig(Section):
    """Where webhooks may go beside the public internet, how many at once, and how long their log is kept."""

    allowed_networks: Networks = ()
    max_in_flight: Count = 8
    log_days: Days = 30.0


class OpenTelemetryConfig(Section):
    """Where traces go, and which share of them."""

    trace_url: Annotated[str, AfterValidator(checked_trace_url)] | None = None
    trace_ratio: Annotated[float, BeforeValidator(no_boolean), Field(ge=0, le=1, allow_inf_nan=False)] = 1.0


class HttpJobsConfig(Section):
    """Where jobs of kind ``http`` may go beside the public internet."""

    allowed_networks: Networks = ()


class Config(BaseSettings):
    """All settings. Directories are absolute paths, or URLs of object stores as given. Made by :func:`load_config`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    data_dir: Directory
    providers_dir: Directory
    manifests_dir: Directory
    metadata_db: MetadataDbConfig = MetadataDbConfig()
    admin_api_addr: Annotated[str, AfterValidator(checked_address)] = "127.0.0.1:1610"
    admin_api: AdminApiConfig = AdminApiConfig()
    poll_interval_secs: Seconds = 1.0
    worker: WorkerConfig = WorkerConfig()
    writer: WriterConfig = WriterConfig()
    object_store: ObjectStoreConfig = ObjectStoreConfig()
    retention: RetentionConfig = RetentionConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    http_jobs: HttpJobsConfig = HttpJobsConfig()
    worker_events: WorkerEventsConfig = WorkerEventsConfig()
    opentelemetry: OpenTelemetryConfig = OpenTelemetryConfig()

    _file: Path | None = PrivateAttr(None)
    _ignored_keys: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before the values of the file, and read nothing else."""
        return env_settings, init_settings

    @property
    def file(self) -> Path | None:
        """The config file that was read."""
        return self._file

    @property
    def ignored_keys(self) -> tuple[str, ...]:
        """Keys of the reference system that were given and have no effect; the daemon warns of each."""
        return self._ignored_keys

    def require_metadata_db_url(self) -> str:
        """Return ``metadata_db.url``.

        :raises AmpError: CONFIG_INVALID when it was not given.
        """
        if self.metadata_db.url is None:
            raise AmpError(ErrorCode.CONFIG_INVALID, MISSING_METADATA_DB)
        return self.metadata_db.url


def load_config(path: str | Path | None = None, *, defaults_dir: Path | None = None) -> Config:
    """Read the configuration.

    :param path: the TOML file; None: the file that AMP_CONFIG names, if any.
    :param defaults_dir: where ``data``, ``providers`` and ``manifests`` are when nothing says otherwise; None: beside
        the config file, or in the working directory when there is no file.
    :raises AmpError: CONFIG_NOT_FOUND, or CONFIG_INVALID with every problem found.
    """
    file = _config_file(path)
    given = _read_toml(file) if file else {}
    findings = _Findings(file)
    for name, key in _env_keys(findings):
        findings.sift(key, name)
    for key in _leaves(given):
        findings.sift(key)
    base = (defaults_dir or (file.parent if file else Path.cwd())).absolute()
    values: dict[str, Any] = {key: str(base / directory) for key, directory in DIRECTORIES.items()}
    config = findings.validate(_merged(values, _from_old_names(given), given))
    config._file = file
    config._ignored_keys = tuple(findings.ignored)
    return config


def _known_keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, (*above, name))
        else:
            yield (*above, name)


KEYS = tuple(_known_keys(Config))
SECTIONS = frozenset(key[:-1] for key in KEYS if len(key) > 1)


class _Findings:
    """What is wrong with the keys and values that were given, and which of them have no effect."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.problems: list[str] = []
        self.ignored: list[str] = []

    def sift(self, key: tuple[str, ...], variable: str | None = None) -> None:
        """Take note of a key that is unknown, or known but without effect."""
        dotted = ".".join(key)
        if any(fnmatchcase(dotted, pattern) for pattern in IGNORED_KEYS):
            self.ignored.append(variable or dotted)
        elif not (key in SECTIONS or dotted in OLD_NAMES or any(key[: len(known)] == known for known in KEYS)):
            shown = f"environment variable {variable}" if variable else f"{dotted} in {self.file}"
            self.problems.append(f"{shown}: unknown key; {_suggestion(key, as_variable=variable is not None)}")

    def validate(self, values: dict[str, Any]) -> Config:
        """Return the configuration.

        :raises AmpError: CONFIG_INVALID with all problems.
        """
        config = None
        try:
            config = Config(**values)
        except ValidationError as error:
            self.problems += [self._describe(detail) for detail in error.errors(include_url=False)]
        except SettingsError as error:
            if not self.problems:  # else the variable is among them already
                self.problems.append(str(error))
        if config is None or self.problems:
            found = self.problems
            listed = f" {found[0]}" if len(found) == 1 else "".join(f"\n  - {problem}" for problem in found)
            raise AmpError(
                ErrorCode.CONFIG_INVALID, f"the configuration is invalid:{listed}", context={"problems": found}
            )
        return config

    def _describe(self, detail: ErrorDetails) -> str:
        key = tuple(str(part) for part in detail["loc"])
        own = detail.get("ctx", {}).get("error")
        expected = str(own) if own is not None else detail["msg"].replace("Input should be", "must be", 1)
        value = detail["input"]
        secret = key in {("metadata_db",), ("metadata_db", "url"), ("worker_events", "kafka", "sasl_password")}
        found = "" if secret or isinstance(value, dict) else f", found {_shown(value)}"
        return f"{'.'.join(key)} ({self._origin(key)}): {expected}{found}"

    def _origin(self, key: tuple[str, ...]) -> str:
        """Say where the value of ``key`` came from; for a section, all places that gave a part of it."""
        variables = [name for name, part in _env_names() if part == key or key[: len(part)] == part]
        parts = [name for name, part in _env_names() if part[: len(key)] == key and part != key]
        places = variables or [*([str(self.file)] if self.file else []), *parts]
        return ", ".join(places) or "default"


def _suggestion(key: tuple[str, ...], *, as_variable: bool) -> str:
    def name(known: tuple[str, ...]) -> str:
        return ENV_PREFIX + "__".join(known).upper() if as_variable else ".".join(known)

    names = {name(known): name(known) for known in KEYS}
    close = difflib.get_close_matches(name(key), names, n=1, cutoff=0.75)
    if not close:  # the right key in the wrong section
        leaves = {known[-1]: name(known) for known in KEYS}
        close = [leaves[leaf] for leaf in difflib.get_close_matches(key[-1], leaves, n=1, cutoff=0.75)]
    if close:
        return f"did you mean {close[0]}?"
    here = [name(known) for known in KEYS if known[:-1] == key[:-1]] or list(names)
    return f"known keys: {', '.join(here)}"


def _shown(value: Any) -> str:
    text = redact_text(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _config_file(path: str | Path | None) -> Path | None:
    named = str(path) if path is not None else os.environ.get(ENV_CONFIG_FILE, "")
    if not named:
        return None
    file = Path(named).expanduser().absolute()
    if not file.is_file():
        source = "" if path is not None else f" (named by the environment variable {ENV_CONFIG_FILE})"
        what = "is not a file" if file.exists() else "does not exist"
        raise AmpError(
            ErrorCode.CONFIG_NOT_FOUND,
            f"the config file {file}{source} {what}. Give one with --config FILE or {ENV_CONFIG_FILE}=FILE",
        )
    return file


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:  # its text ends with "(at line 3, column 7)"
        what = f"is not valid TOML: {error}"
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start})"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    raise AmpError(ErrorCode.CONFIG_INVALID, f"the config file {file} {what}")


def _leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)


def _env_names() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give our environment variables that are not empty, each with the key that it stands for."""
    for name, value in sorted(os.environ.items()):
        if name.upper().startswith(ENV_PREFIX) and value:
            yield name, tuple(name[len(ENV_PREFIX) :].lower().split("__"))


def _env_keys(findings: _Findings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give the keys in our environment variables; a variable may hold a whole section as JSON."""
    for name, key in _env_names():
        if key not in SECTIONS:
            yield name, key
            continue
        try:
            section = json.loads(os.environ[name])
        except ValueError:
            section = None
        if isinstance(section, dict):
            yield from ((name, inner) for inner in _leaves(section, key))
        else:
            one_by_one = f"{name}__{next(known for known in KEYS if known[:-1] == key)[-1].upper()}"
            findings.problems.append(
                f"environment variable {name}: must be a JSON object; or give its keys one by one, as in {one_by_one}"
            )


def _from_old_names(given: dict[str, Any]) -> dict[str, Any]:
    """Return the values given under old names, in the environment or the file, under their names of today."""
    old = {".".join(key): _at(given, key) for key in _leaves(given) if ".".join(key) in OLD_NAMES}
    old |= {".".join(key): os.environ[name] for name, key in _env_names() if ".".join(key) in OLD_NAMES}
    values: dict[str, Any] = {}
    for name, value in old.items():
        *section, last = OLD_NAMES[name]
        inside = values.setdefault(section[0], {}) if section else values
        inside[last] = value
    return values


def _at(values: Mapping[str, Any], key: tuple[str, ...]) -> Any:
    return _at(values[key[0]], key[1:]) if key else values


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay mappings over each other, the strongest last, section by section."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            below = merged.get(name)
            merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
