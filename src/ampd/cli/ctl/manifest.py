"""`ampctl manifest`: make, register, look, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ampd.cli.ctl import output
from ampd.cli.ctl.common import (
    DEFAULT_OPTIONS,
    CommandFailedError,
    Options,
    admin_api,
    local_failure,
    read_json_object,
)

app = App(name="manifest", alias="manifests", help="Manifests: make, register, look, remove.")


@app.command(name="generate", alias="gen")
def generate(
    *,
    kind: str,
    network: str,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    start_block: int = 0,
    finalized_blocks_only: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> None:
    """Make a manifest with all tables of a kind. Needs no Admin API.

    Parameters
    ----------
    kind
        Kind of dataset: evm-rpc.
    network
        Network of the blocks, such as mainnet.
    out
        File to write; standard output unless given.
    start_block
        First block to extract.
    finalized_blocks_only
        Leave out what a reorg could still replace.
    """
    # Only here: the tables bring Arrow, which no other command needs.
    from ampd.datasets import generate_manifest

    failure = "failed to generate a manifest"
    with local_failure(failure):
        manifest = generate_manifest(kind, network, start_block, finalized_blocks_only)
    text = output.pretty(manifest.to_json())
    if out is None:
        print(text)
        return
    try:
        out.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise CommandFailedError(failure, [f"cannot write {out}: {error.strerror}"]) from None
    print(output.success(f"Manifest written to {out}"))


@app.command(name="register", alias="reg")
def register(path: Path, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Store a manifest; it is known by its hash.

    Parameters
    ----------
    path
        The manifest, a JSON file; - reads standard input.
    """
    failure = f"failed to register manifest {path}"
    manifest = read_json_object(path, failure)
    with admin_api(options, failure) as client:
        manifest_hash = client.manifests.register(manifest)
    text = output.success("Manifest registered successfully", f"Hash: {manifest_hash}")
    output.emit({"hash": manifest_hash}, text, as_json=options.json)


@app.command(name="list", alias="ls")
def list_manifests(*, options: Options = DEFAULT_OPTIONS) -> None:
    """List all manifests and how many datasets use them."""
    with admin_api(options, "failed to list manifests") as client:
        manifests = client.manifests.list()
    raw = {"manifests": [manifest.raw for manifest in manifests]}
    output.emit(raw, output.manifest_list(manifests), as_json=options.json)


@app.command(name="inspect", alias="get")
def inspect_manifest(
    manifest_hash: Annotated[str, Parameter(name="HASH")], /, *, options: Options = DEFAULT_OPTIONS
) -> None:
    """Print a manifest.

    Parameters
    ----------
    manifest_hash
        Its hash: 64 hexadecimal digits.
    """
    with admin_api(options, f"failed to inspect manifest {manifest_hash}") as client:
        manifest = client.manifests.get(manifest_hash)
    output.emit(manifest, output.pretty(manifest), as_json=output.wants_json(options.json))


@app.command(name="datasets")
def show_datasets(
    manifest_hash: Annotated[str, Parameter(name="HASH")], /, *, options: Options = DEFAULT_OPTIONS
) -> None:
    """List the versions and tags of datasets that point at a manifest.

    Parameters
    ----------
    manifest_hash
        Its hash: 64 hexadecimal digits.
    """
    with admin_api(options, f"failed to list the datasets of manifest {manifest_hash}") as client:
        tags = client.manifests.datasets(manifest_hash)
    lines = [f"  {tag.namespace}/{tag.name}@{tag.version}" for tag in tags]
    raw = {"hash": manifest_hash, "datasets": [vars(tag) for tag in tags]}
    output.emit(raw, "\n".join(["Datasets:", *lines]) if lines else "No datasets found", as_json=options.json)


@app.command(name="rm", alias="remove")
def remove_manifest(
    manifest_hash: Annotated[str, Parameter(name="HASH")], /, *, options: Options = DEFAULT_OPTIONS
) -> None:
    """Delete a manifest that nothing needs. One that does not exist is a success too.

    Parameters
    ----------
    manifest_hash
        Its hash: 64 hexadecimal digits.
    """
    with admin_api(options, f"failed to remove manifest {manifest_hash}") as client:
        client.manifests.delete(manifest_hash)
    output.emit({"hash": manifest_hash}, output.success(f"Manifest {manifest_hash} removed"), as_json=options.json)


@app.command(name="prune")
def prune_manifests(*, options: Options = DEFAULT_OPTIONS) -> None:
    """Delete all manifests that neither a dataset nor files in the lake need."""
    with admin_api(options, "failed to prune manifests") as client:
        count = client.manifests.prune()
    output.emit({"deleted_count": count}, output.success(f"Pruned {count} orphaned manifest(s)"), as_json=options.json)
