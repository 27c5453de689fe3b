"""`ampctl dataset`: register, deploy, look, restore, remove."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

from cyclopts import App, CycloptsError, Parameter

from ampd.cli.ctl import output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api, read_json_object
from ampd.cli.ctl.restore_bar import watched_restore
from ampd.cli.ctl.schedule import NO_TIMES, When
from ampd.client import RestoredTable, VerifyMode

app = App(
    name="dataset",
    alias="datasets",
    help="Datasets: register, deploy, look, restore. REFERENCE is namespace/name@revision.",
)


NOTHING: list[str] = []


_MODES = [[mode] for mode in get_args(VerifyMode)]


def with_verify_mode(arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with ``full`` after a ``--verify`` that stands alone.

    A reference has a slash in it: it is never taken for a mode.
    """
    complete: list[str] = []
    for place, argument in enumerate(arguments):
        complete.append(argument)
        if argument == "--verify" and [*arguments[place + 1 : place + 2]] not in _MODES:
            complete.append("full")
    return complete


@app.command(name="register", alias="reg")
def register_dataset(
    name: str,
    file: Path,
    /,
    *,
    tag: Annotated[str | None, Parameter(name=["--tag", "-t"])] = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Register a manifest under a name. Its tag `dev` then points at it.

    Parameters
    ----------
    name
        namespace/name of the dataset.
    file
        The manifest, a JSON file; - reads standard input.
    tag
        A semantic version for it, such as 1.0.0. The highest one is also `latest`.
    """
    failure = f"failed to register dataset {name}"
    manifest = read_json_object(file, failure)
    with admin_api(options, failure) as client:
        dataset = client.datasets.register(name, manifest, tag)
    output.emit(dataset.raw, output.dataset_registered(dataset), as_json=options.json)


@app.command(name="deploy", alias="dep")
def deploy_dataset(
    reference: str,
    /,
    *,
    end_block: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    parallelism: int | None = None,
    worker_id: str | None = None,
    verify: VerifyMode | None = None,
    priority: int | None = None,
    depends_on: Annotated[list[str], Parameter(negative=(), show_default=False)] = NOTHING,
    retries: int | None = None,
    when: When = NO_TIMES,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Start the extraction of a dataset. The same options again answer the same job.

    Parameters
    ----------
    reference
        namespace/name@revision; without a revision it is `latest`.
    end_block
        Where to end: latest, a number, or -N (N blocks behind the latest). Follows the chain unless given.
    parallelism
        How many block ranges are read at once, by free slots of any workers (1 unless given).
    worker_id
        The worker that must run it: its id, or a prefix and *.
    verify
        Recompute what blocks commit to before they are written: of none (off), of a sample of every batch (sample,
        unless given), or of all (full, also when --verify stands alone).
    priority
        The higher is placed first; 0 unless given.
    depends_on
        What must have completed before: the id of a job, or namespace/name@revision of a dataset. May be repeated.
    retries
        How often a failure that may pass is tried again; without limit unless given.
    """
    with admin_api(options, f"failed to deploy dataset {reference}") as client:
        job_id = client.datasets.deploy(
            reference,
            end_block=end_block,
            parallelism=parallelism,
            worker_id=worker_id,
            verify=verify,
            priority=priority,
            depends_on=depends_on,
            retries=retries,
            schedule=when.schedule(),
        )
    text = output.success("Dataset deployed successfully", f"Job ID: {job_id}")
    output.emit({"job_id": job_id}, text, as_json=options.json)


@app.command(name="list", alias="ls")
def list_datasets(*, options: Options = DEFAULT_OPTIONS) -> None:
    """List all datasets."""
    with admin_api(options, "failed to list datasets") as client:
        datasets = client.datasets.list()
    raw = {"datasets": [dataset.raw for dataset in datasets]}
    output.emit(raw, output.dataset_list(datasets), as_json=options.json)


@app.command(name="inspect", alias="get")
def inspect_dataset(reference: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Show what a revision stands for. JSON when a program reads.

    Parameters
    ----------
    reference
        namespace/name@revision; without a revision it is `latest`.
    """
    with admin_api(options, f"failed to inspect dataset {reference}") as client:
        dataset = client.datasets.inspect(reference)
    output.emit(dataset.raw, output.dataset_details(dataset), as_json=output.wants_json(options.json))


@app.command(name="versions")
def show_versions(name: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """List the versions of a dataset, the highest first.

    Parameters
    ----------
    name
        namespace/name of the dataset.
    """
    with admin_api(options, f"failed to list the versions of dataset {name}") as client:
        versions = client.datasets.versions(name)
    output.emit(versions.raw, output.dataset_versions(versions), as_json=options.json)


@app.command(name="manifest")
def show_manifest(reference: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Print the manifest of a revision.

    Parameters
    ----------
    reference
        namespace/name@revision; without a revision it is `latest`.
    """
    failure = f"failed to get the manifest of dataset {reference}"
    with admin_api(options, failure) as client:
        manifest = client.datasets.manifest(reference)
    output.emit(manifest, output.pretty(manifest), as_json=options.json)


@app.command(name="jobs")
def show_jobs(reference: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """List the jobs of a revision, the newest first.

    Parameters
    ----------
    reference
        namespace/name@revision; without a revision it is `latest`.
    """
    failure = f"failed to list the jobs of dataset {reference}"
    with admin_api(options, failure) as client:
        page = client.datasets.jobs(reference)
    output.emit(page.raw, output.dataset_jobs(page.jobs), as_json=options.json)


@app.command(name="restore")
def restore_dataset(
    reference: str,
    /,
    *,
    table: str | None = None,
    location_id: int | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Restore the tables of a dataset from their files, when the metadata database is lost.

    Parameters
    ----------
    reference
        namespace/name@revision; without a revision it is `latest`.
    table
        Only this table.
    location_id
        Make this revision the active one of --table, in place of its newest directory.
    """
    failure = f"failed to restore dataset {reference}"
    if table is not None:
        _restore_table(reference, table, location_id, options)
        return
    if location_id is not None:
        raise CycloptsError(msg="--location-id needs --table: it is a revision of one table")
    with admin_api(options, failure) as client:
        tables = watched_restore(client, reference)
    lines = [f"  • {each.table_name} (location_id: {each.revision_id}, url: {each.url})" for each in tables]
    notes = [_note(each) for each in tables if each.left_out or each.unusable]
    text = "\n".join(
        [output.success("Dataset restored successfully", f"Restored {len(tables)} table(s):"), *lines, *notes]
    )
    output.emit({"tables": [each.raw for each in tables]}, text, as_json=options.json)


def _restore_table(reference: str, table: str, location_id: int | None, options: Options) -> None:
    with admin_api(options, f"failed to restore table {table} of dataset {reference}") as client:
        client.datasets.restore_table(reference, table, revision_id=location_id)
    value: dict[str, str | int] = {"table": table}
    details = []
    if location_id is not None:
        value["location_id"] = location_id
        details = [f"Activated location_id: {location_id}"]
    output.emit(value, output.success(f"Table '{table}' restored successfully", *details), as_json=options.json)


def _note(table: RestoredTable) -> str:
    lines = [f"→ {table.table_name}: {table.left_out} files are not needed, and will be deleted after a week"]
    lines += [f"→ {table.table_name}: {name} is not usable: {why}" for name, why in table.unusable.items()]
    return "\n".join(lines if table.left_out else lines[1:])


@app.command(name="rm", alias="remove")
def remove_dataset(name: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Forget a dataset with its versions, or one version of it. Its manifests and files stay.

    Parameters
    ----------
    name
        namespace/name of the dataset; or namespace/name@version for one version, which must not be the latest.
    """
    dataset, at, version = name.partition("@")
    with admin_api(options, f"failed to remove dataset {name}") as client:
        if at:
            client.datasets.delete_version(dataset, version)
        else:
            client.datasets.delete(dataset)
    value = {"dataset": dataset} | ({"version": version} if at else {})
    output.emit(value, output.success(f"Dataset {name} removed"), as_json=options.json)
