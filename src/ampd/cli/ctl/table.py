"""`ampctl table`: the revisions of tables."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ampd.cli.ctl import output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, CommandFailedError, Options, admin_api
from ampd.client import LakeFile, Revision

app = App(
    name="table",
    alias="tables",
    help="Tables: look at their revisions, and handle them. A revision is a directory of files of one table.",
)

Force = Annotated[bool, Parameter(name=["--force", "-f"], negative=(), show_default=False)]
RevisionId = Annotated[int, Parameter(name="ID")]


@app.command(name="list", alias="ls")
def list_revisions(
    *,
    active: Annotated[Literal["true", "false"] | None, Parameter(name=["--active", "-a"])] = None,
    limit: Annotated[int | None, Parameter(name=["--limit", "-l"])] = None,
    after: int | None = None,
    dataset: str | None = None,
    table: str | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """List revisions, the newest first.

    Parameters
    ----------
    active
        Only those that are active (true), or only those that are not (false).
    limit
        How many at most; 100 unless given.
    after
        Go on below this id: that of the last one of the page before.
    dataset
        Only those of this dataset: namespace/name.
    table
        Only those of tables with this name.
    """
    with admin_api(options, "failed to list revisions") as client:
        wanted = None if active is None else active == "true"
        revisions = client.revisions.list(active=wanted, limit=limit, after=after, dataset=dataset, table_name=table)
    lines = [_line(each) for each in revisions]
    text = "\n".join([f"Revisions ({len(lines)}):", *lines]) if lines else "No revisions found"
    output.emit({"revisions": [each.raw for each in revisions]}, text, as_json=options.json)


def _line(revision: Revision) -> str:
    state = "active" if revision.active else "inactive"
    return f"  {revision.id} - {revision.namespace}/{revision.name} {revision.table_name} [{state}]"


@app.command(name="get", alias="inspect")
def get_revision(revision_id: RevisionId, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Show a revision. JSON when a program reads.

    Parameters
    ----------
    revision_id
        Its id.
    """
    with admin_api(options, f"failed to get revision {revision_id}") as client:
        revision = client.revisions.get(revision_id)
    fields = {"Path": revision.path, "Active": str(revision.active).lower()}
    if revision.writer is not None:
        fields["Writer"] = str(revision.writer)
    fields |= {
        "Dataset": f"{revision.namespace}/{revision.name}",
        "Manifest": revision.manifest_hash,
        "Table": revision.table_name,
        "Files": str(revision.files_count),
        "Size": output.size(revision.total_size_bytes),
    }
    lines = [f"→ Revision {revision.id}", *(f"  {line}" for line in output.aligned(fields))]
    output.emit(revision.raw, "\n".join(lines), as_json=output.wants_json(options.json))


@app.command(name="files")
def list_files(
    revision_id: RevisionId,
    /,
    *,
    limit: Annotated[int | None, Parameter(name=["--limit", "-l"])] = None,
    after: Annotated[int | None, Parameter(name=["--after", "-a"])] = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """List the files of a revision that count, in the order of their blocks.

    Parameters
    ----------
    revision_id
        Its id.
    limit
        How many at most, up to 1000; 100 unless given.
    after
        Go on behind this block: the next cursor of the page before.
    """
    with admin_api(options, f"failed to list the files of revision {revision_id}") as client:
        page = client.revisions.file_page(revision_id, limit=limit, after=after)
    lines = [f"  {_file_line(file)}\n    {file.url}" for file in page.files]
    text = "\n".join(["Files:", *lines]) if lines else "No files found"
    if page.next_cursor is not None:
        text += f"\n\nNext cursor: {page.next_cursor}"
    output.emit(page.raw, text, as_json=options.json)


def _file_line(file: LakeFile) -> str:
    blocks = f"{file.start_block}-{file.end_block}"
    return f"{file.id} - blocks {blocks}, {file.row_count} rows, {output.size(file.object_size)}"


@app.command(name="file")
def show_file(file_id: Annotated[int, Parameter(name="FILE_ID")], /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Show a file of a revision, with what its footer says. JSON when a program reads.

    Parameters
    ----------
    file_id
        Its id, as in `ampctl table files`.
    """
    with admin_api(options, f"failed to get file {file_id}") as client:
        file = client.revisions.file(file_id)
    lines = [f"→ File {_file_line(file)}", f"  Revision : {file.revision_id}", f"  URL      : {file.url}"]
    text = "\n".join([*lines, "", "Metadata:", output.pretty(file.raw["metadata"])])
    output.emit(file.raw, text, as_json=output.wants_json(options.json))


@app.command(name="register", alias="reg")
def register_revision(dataset: str, table: str, path: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Make a directory of the lake known as a revision of a table: inactive, and without its files until
    `ampctl table restore`.

    Parameters
    ----------
    dataset
        namespace/name@revision; without a revision it is `latest`.
    table
        Name of the table.
    path
        The directory, below data_dir.
    """
    with admin_api(options, f"failed to register {path}") as client:
        revision_id = client.revisions.register(dataset, table, path)
    text = output.success(f"Revision registered for table {table} in dataset {dataset} (location_id: {revision_id})")
    value = {"location_id": revision_id, "dataset": dataset, "table_name": table, "path": path}
    output.emit(value, text, as_json=options.json)


@app.command(name="activate")
def activate_revision(
    dataset: str, table: str, revision_id: RevisionId, /, *, options: Options = DEFAULT_OPTIONS
) -> None:
    """Make a revision the active one of its table.

    Parameters
    ----------
    dataset
        namespace/name@revision; without a revision it is `latest`.
    table
        Name of the table.
    revision_id
        Id of the revision.
    """
    with admin_api(options, f"failed to activate revision {revision_id}") as client:
        client.revisions.activate(dataset, table, revision_id)
    text = output.success(f"Revision {revision_id} activated for table {table} in dataset {dataset}")
    value = {"dataset": dataset, "table_name": table, "location_id": revision_id}
    output.emit(value, text, as_json=options.json)


@app.command(name="deactivate")
def deactivate_revision(dataset: str, table: str, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Leave a table without an active revision. Its files stay; the next deploy begins a new revision.

    Parameters
    ----------
    dataset
        namespace/name@revision; without a revision it is `latest`.
    table
        Name of the table.
    """
    with admin_api(options, f"failed to deactivate table {table}") as client:
        client.revisions.deactivate(dataset, table)
    text = output.success(f"Revisions deactivated for table {table} in dataset {dataset}")
    output.emit({"dataset": dataset, "table_name": table}, text, as_json=options.json)


@app.command(name="restore")
def restore_revision(revision_id: RevisionId, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Register the files in the directory of a revision.

    Parameters
    ----------
    revision_id
        Its id.
    """
    with admin_api(options, f"failed to restore revision {revision_id}") as client:
        files = client.revisions.restore(revision_id)
    text = output.success(f"Revision {revision_id} restored ({files} files)")
    output.emit({"location_id": revision_id, "total_files": files}, text, as_json=options.json)


@app.command(name="delete", alias="rm")
def delete_revision(revision_id: RevisionId, /, *, force: Force = False, options: Options = DEFAULT_OPTIONS) -> None:
    """Forget an inactive revision. Its files stay in the store.

    Parameters
    ----------
    revision_id
        Its id.
    force
        Do not ask.
    """
    failure = f"failed to delete revision {revision_id}"
    _confirm(f"Delete revision {revision_id}? Its files stay in the store.", failure, force=force)
    with admin_api(options, failure) as client:
        client.revisions.delete(revision_id)
    output.emit({"location_id": revision_id}, output.success(f"Revision {revision_id} deleted"), as_json=options.json)


@app.command(name="truncate")
def truncate_revision(
    revision_id: RevisionId,
    /,
    *,
    force: Force = False,
    concurrency: int = 10,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Delete an inactive revision with all its files.

    Parameters
    ----------
    revision_id
        Its id.
    force
        Do not ask.
    concurrency
        How many files are deleted at once.
    """
    failure = f"failed to truncate revision {revision_id}"
    _confirm(f"Delete revision {revision_id} with all its files?", failure, force=force)
    with admin_api(options, failure) as client:
        files = client.revisions.truncate(revision_id, concurrency=concurrency)
    text = output.success(f"Revision {revision_id} truncated ({files} files deleted)")
    output.emit({"location_id": revision_id, "files_deleted": files}, text, as_json=options.json)


@app.command(name="prune")
def prune_revision(
    revision_id: RevisionId,
    /,
    *,
    before_block: int | None = None,
    gc_delay: int = 3600,
    force: Force = False,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Let the files of a revision go that do not hang together with its first ones.

    Parameters
    ----------
    revision_id
        Its id.
    before_block
        Only files that end before this block.
    gc_delay
        Seconds until they are deleted; they count no more at once.
    force
        Do not ask.
    """
    failure = f"failed to prune revision {revision_id}"
    which = "" if before_block is None else f" ending before block {before_block}"
    _confirm(f"Prune the non-canonical segment files{which} of revision {revision_id}?", failure, force=force)
    with admin_api(options, failure) as client:
        pruned = client.revisions.prune(revision_id, before_block=before_block, delay_seconds=gc_delay)
    files, delay = pruned["files_scheduled"], pruned["gc_delay_secs"]
    text = output.success(
        f"Revision {revision_id} pruned ({files} non-canonical segment files{which} scheduled for GC, "
        f"deletion in {delay}s)"
    )
    value = {"location_id": revision_id, "files_scheduled": files, "gc_delay_secs": delay}
    if before_block is not None:
        value["before_block"] = before_block
    output.emit(value, text, as_json=options.json)


def _confirm(question: str, failure: str, *, force: bool) -> None:
    """Ask on the terminal, unless ``force``.

    :raises CommandFailedError: when the answer is no, or nobody can answer.
    """
    if force:
        return
    print(output.clean(f"{question} [y/N] "), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandFailedError(failure, ["not confirmed; --force does it without a question"])
