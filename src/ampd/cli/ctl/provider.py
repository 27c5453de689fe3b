"""`ampctl provider`: where blocks come from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from cyclopts import App

from ampd.cli.ctl import output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, CommandFailedError, Options, admin_api, read_text

app = App(name="provider", alias="providers", help="Providers: where blocks come from.")


@app.command(name="register", alias="reg")
def register_provider(name: str, file: Path, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Store a provider; one of the same name is replaced.

    Parameters
    ----------
    name
        Name of the provider.
    file
        Its settings, a TOML file with at least kind and network; - reads standard input. ${VARIABLE} in a value is
        replaced where the provider is used, so that the file needs to hold no secret.
    """
    failure = f"failed to register provider {name}"
    config = _read_toml(file, failure)
    kind = config.pop("kind", None)
    if not isinstance(kind, str):
        raise CommandFailedError(failure, [f'{file} has no kind: add a line such as kind = "evm-rpc"'])
    config.pop("name", None)
    with admin_api(options, failure) as client:
        client.providers.register(name, kind, config)
    text = output.success("Provider registered successfully", f"Name: {name}", f"Kind: {kind}")
    output.emit({"name": name}, text, as_json=options.json)


def _read_toml(file: Path, failure: str) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(file, failure))
    except tomllib.TOMLDecodeError as error:
        raise CommandFailedError(failure, [f"{file} is not TOML: {error}"]) from None


@app.command(name="list", alias="ls")
def list_providers(*, options: Options = DEFAULT_OPTIONS) -> None:
    """List all providers."""
    with admin_api(options, "failed to list providers") as client:
        providers = client.providers.list()
    raw = {"providers": [provider.raw for provider in providers]}
    output.emit(raw, output.provider_list(providers), as_json=options.json)


@app.command(name="inspect", alias="get")
def inspect_provider(name: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Print a provider, its secrets replaced.

    Parameters
    ----------
    name
        Name of the provider.
    """
    with admin_api(options, f"failed to inspect provider {name}") as client:
        provider = client.providers.get(name)
    output.emit(provider.raw, output.pretty(provider.raw), as_json=output.wants_json(options.json))


@app.command(name="rm", alias="remove")
def remove_provider(name: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Remove a provider. One that does not exist is a success too.

    Parameters
    ----------
    name
        Name of the provider.
    """
    with admin_api(options, f"failed to remove provider {name}") as client:
        client.providers.delete(name)
    output.emit({"name": name}, output.success(f"Provider {name} removed"), as_json=options.json)
