"""Provider files: where blocks of a network can be read. One TOML file per provider; the file's name is its name.

The store is read on every call, so that a file that was edited by hand counts at once.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from ampd.datasets.names import parse_provider_name, shown
from ampd.datasets.placeholders import substitute
from ampd.datasets.provider_config import CONFIG_OF_KIND, check_raw_config, check_registrable, parse_config
from ampd.datasets.toml_text import to_toml
from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectStore

SUFFIX = ".toml"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Provider:
    """A provider. ``config`` is the content of its file, ``kind`` and ``network`` included; it may hold secrets."""

    name: str
    kind: str
    network: str
    config: dict[str, Any] = field(repr=False)


class ProviderStore:
    """The provider files of one object store."""

    def __init__(self, store: ObjectStore, environment: Mapping[str, str] = os.environ) -> None:
        self._store = store
        self._environment = environment

    async def list_all(self) -> list[Provider]:
        """Return all providers as their files say it (``${VAR}`` not replaced), ordered by name.

        A file that cannot be used is left out, with a warning in the log.
        """
        providers, _ = await self._read_all()
        return providers

    async def get(self, name: str) -> Provider:
        """Return one provider as its file says it (``${VAR}`` not replaced).

        :raises AmpError: INVALID_PROVIDER_NAME, PROVIDER_NOT_FOUND, INVALID_PROVIDER.
        """
        provider = await self._read(parse_provider_name(name))
        if provider is None:
            names = [found.removesuffix(SUFFIX) for found in await self._file_names()]
            there_are = f"there are {', '.join(names)}" if names else "none is registered"
            raise AmpError(
                ErrorCode.PROVIDER_NOT_FOUND,
                f"provider '{name}' not found in {self._store.place}; {there_are}. "
                f"'ampctl provider register {name} FILE.toml' registers it",
            )
        return provider

    async def put(self, name: str, kind: str, config: dict[str, Any]) -> Provider:
        """Write a provider's file; replace the one that is there. Nothing is written when something is wrong.

        ``config`` holds ``network`` and the settings of ``kind``; it may repeat ``kind``.

        :raises AmpError: INVALID_PROVIDER_NAME, INVALID_PROVIDER; DATA_CONVERSION_ERROR for what TOML cannot say.
        """
        parse_provider_name(name)
        content = {"kind": kind, **config}
        if content["kind"] != kind:
            raise AmpError(
                ErrorCode.INVALID_PROVIDER,
                f"provider '{name}': its kind is {shown(kind)}, but its settings say {shown(str(content['kind']))}",
            )
        text = to_toml(content)
        check_registrable(content, f"provider '{name}'")
        await self._store.replace(name + SUFFIX, text.encode())
        return Provider(name, kind, content["network"], content)

    async def delete(self, name: str) -> None:
        """Remove a provider's file; it is fine when there is none.

        :raises AmpError: INVALID_PROVIDER_NAME.
        """
        await self._store.delete(parse_provider_name(name) + SUFFIX)

    async def find(self, kind: str, network: str) -> list[Provider]:
        """Return every provider of ``kind`` for ``network``, ready for use (``${VAR}`` replaced), ordered by name.

        Files that cannot be used are left out, with a warning in the log, as long as one can be.

        :raises AmpError: PROVIDER_NOT_FOUND when none matches; INVALID_PROVIDER when no matching one can be used.
        """
        providers, broken = await self._read_all()
        matching = [found for found in providers if (found.kind, found.network) == (kind, network)]
        ready, faults = [], []
        for provider in matching:
            try:
                ready.append(self._ready(provider))
            except AmpError as error:
                self._warn(provider.name + SUFFIX, error)
                faults.append(error)
        if ready:
            return ready
        if faults:
            raise faults[0]
        raise self._none_found(kind, network, providers, broken)

    async def require(self, kind: str, network: str) -> None:
        """Make sure that there is a provider of ``kind`` for ``network``; whether its ``${VAR}`` are set only workers
        know.

        :raises AmpError: PROVIDER_NOT_FOUND, with the providers there are, the files that cannot be used, and the mend.
        """
        providers, broken = await self._read_all()
        if not any((found.kind, found.network) == (kind, network) for found in providers):
            raise self._none_found(kind, network, providers, broken)

    def _ready(self, provider: Provider) -> Provider:
        where = self._where(provider.name + SUFFIX)
        config = substitute(provider.config, self._environment, where)
        if provider.kind in CONFIG_OF_KIND:
            parse_config(config, where)
        return Provider(provider.name, provider.kind, provider.network, config)

    async def _read_all(self) -> tuple[list[Provider], list[str]]:
        """Return the providers by name, and the names of the files that cannot be used."""
        providers: list[Provider] = []
        broken: list[str] = []
        for file_name in await self._file_names():
            try:
                provider = await self._read(parse_provider_name(file_name.removesuffix(SUFFIX)))
            except AmpError as error:
                if error.code not in (ErrorCode.INVALID_PROVIDER, ErrorCode.INVALID_PROVIDER_NAME):
                    raise
                self._warn(file_name, error)
                broken.append(file_name)
                continue
            if provider is not None:  # it may have been deleted since it was listed
                providers.append(provider)
        return providers, broken

    async def _read(self, name: str) -> Provider | None:
        content = await self._store.get(name + SUFFIX)
        if content is None:
            return None
        where = self._where(name + SUFFIX)
        try:
            config = tomllib.loads(content.decode())
        except tomllib.TOMLDecodeError as error:
            raise AmpError(ErrorCode.INVALID_PROVIDER, f"{where} is not TOML: {error}. Mend the file") from None
        except UnicodeDecodeError as error:
            raise AmpError(ErrorCode.INVALID_PROVIDER, f"{where} is not UTF-8 (byte {error.start})") from None
        except RecursionError:
            raise AmpError(ErrorCode.INVALID_PROVIDER, f"{where}: its values are nested too deep") from None
        check_raw_config(config, where)
        return Provider(name, config["kind"], config["network"], config)

    async def _file_names(self) -> list[str]:
        """Return the names of the provider files. Their order is that of the names without the suffix, too."""
        found = [info.path for info in await self._store.list()]
        return [path for path in found if path.endswith(SUFFIX) and "/" not in path]

    def _where(self, file_name: str) -> str:
        return f"provider file '{file_name}' in {self._store.place}"

    def _warn(self, file_name: str, error: AmpError) -> None:
        _log.warning("provider.unusable", file=file_name, error_code=str(error.code), error=error.message)

    def _none_found(self, kind: str, network: str, providers: list[Provider], broken: list[str]) -> AmpError:
        known = [f"{found.name} ({found.kind}, {found.network})" for found in providers]
        there_are = f"there are {', '.join(known)}" if known else "none is registered"
        unusable = f"; files that cannot be used: {', '.join(broken)}" if broken else ""
        return AmpError(
            ErrorCode.PROVIDER_NOT_FOUND,
            f"no provider of kind '{kind}' for network '{network}' in {self._store.place}: {there_are}{unusable}. "
            "Register one: ampctl provider register NAME FILE.toml",
        )
