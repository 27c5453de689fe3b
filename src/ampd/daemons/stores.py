"""The object stores of a daemon: opened as the configuration says, and looked at before there is work."""

from __future__ import annotations

from dataclasses import replace

import structlog

from ampd.config import Config
from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectStore, StoreSettings

_log = structlog.get_logger(__name__)

# A start waits no longer than that for a store that is away: jobs wait for it as well, and say so.
_CHECK_SECONDS = 5.0


def open_store(config: Config, url: str) -> ObjectStore:
    """Return the store at ``url``, which is one of the configured directories.

    :raises AmpError: CONFIG_INVALID.
    """
    return ObjectStore.open(url, _settings(config))


async def check_lake(config: Config) -> None:
    """Look whether the lake can be written and keeps what a lake needs; warn of what it lacks.

    A directory that is not there yet is left to the first job: a worker that starts creates none. A lake that is away,
    full or refuses writes does not keep a worker from starting: it may come back, and each job tells its own error
    until then.

    :raises AmpError: DATA_STORE_UNSAFE when readers would not find what was committed; CONFIG_INVALID.
    """
    settings = _settings(config)
    quick = replace(
        settings,
        timeout_seconds=min(settings.timeout_seconds, _CHECK_SECONDS),
        retry_seconds=min(settings.retry_seconds, _CHECK_SECONDS),
    )
    lake = ObjectStore.open(config.data_dir, quick)
    if lake.directory is not None and not lake.directory.exists():
        return
    try:
        check = await lake.check()
    except AmpError as error:
        if error.code == ErrorCode.DATA_STORE_UNSAFE:
            raise
        _log.warning("lake.not_ready", error_code=str(error.code), error=error.message)
        return
    if not check.keeps_objects:
        _log.warning(
            "lake.overwrites",
            place=lake.place,
            meaning="this store ignores put-if-absent. The lake stays right without it, for no two writers choose one "
            "name, but the store would not stop a writer that does",
        )


async def sweep_lake(lake: ObjectStore) -> None:
    """Delete what killed puts have left in the lake."""
    try:
        swept = await lake.sweep()
    except AmpError as error:
        _log.warning("lake.not_swept", error=error.message)
        return
    for path in swept:
        _log.info("lake.leftover_removed", path=path)


def _settings(config: Config) -> StoreSettings:
    given = config.object_store
    return StoreSettings(
        endpoint=given.endpoint,
        region=given.region,
        path_style=given.path_style,
        allow_http=given.allow_http,
        profile=given.profile,
        timeout_seconds=given.timeout_secs,
        retry_seconds=given.retry_secs,
    )
