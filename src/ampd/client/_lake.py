"""The lake in the client: revisions of tables, files, restores, and what forgets datasets and manifests."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict, Unpack

import httpx

from ampd.client._calls import parse_name, parse_reference
from ampd.client._lake_models import FilePage, LakeFile, ManifestTag, RestoredTable, RestoreProgress, Revision
from ampd.client._transport import Call, Send, SendAsync, path

Json = dict[str, Any]


class RevisionFilters(TypedDict, total=False):
    """Which revisions are listed; None asks for nothing. ``dataset``: ``namespace/name``."""

    active: bool | None
    dataset: str | None
    table_name: str | None


# Calls


def _nothing(_response: httpx.Response) -> None:
    return None


def _present(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _version_path(reference: str, *more: str) -> str:
    namespace, name, revision = parse_reference(reference)
    return path("datasets", namespace, name, "versions", revision, *more)


def _delete_dataset(name: str) -> Call[None]:
    return Call("DELETE", path("datasets", *parse_name(name)), _nothing)


def _delete_version(name: str, version: str) -> Call[None]:
    return Call("DELETE", path("datasets", *parse_name(name), "versions", version), _nothing)


def _restore(reference: str) -> Call[list[RestoredTable]]:
    def tables(response: httpx.Response) -> list[RestoredTable]:
        return [RestoredTable.from_json(item) for item in response.json()["tables"]]

    return Call("POST", _version_path(reference, "restore"), tables, takes_long=True)


def _restore_progress(reference: str) -> Call[RestoreProgress]:
    return Call("GET", _version_path(reference, "restore"), lambda answer: RestoreProgress.from_json(answer.json()))


def _restore_table(reference: str, table_name: str, revision_id: int | None) -> Call[None]:
    body = None if revision_id is None else {"location_id": revision_id}
    return Call("POST", _version_path(reference, "tables", table_name, "restore"), _nothing, body=body, takes_long=True)


def _delete_manifest(manifest_hash: str) -> Call[None]:
    return Call("DELETE", path("manifests", manifest_hash), _nothing)


def _prune_manifests() -> Call[int]:
    return Call("DELETE", "/manifests", lambda answer: int(answer.json()["deleted_count"]), takes_long=True)


def _manifest_datasets(manifest_hash: str) -> Call[list[ManifestTag]]:
    def tags(response: httpx.Response) -> list[ManifestTag]:
        return [ManifestTag.from_json(item) for item in response.json()["datasets"]]

    return Call("GET", path("manifests", manifest_hash, "datasets"), tags)


def _list_revisions(limit: int | None, after: int | None, filters: RevisionFilters) -> Call[list[Revision]]:
    active = filters.get("active")
    query = _present(
        active=None if active is None else str(active).lower(),
        limit=limit,
        last_id=after,
        dataset=filters.get("dataset"),
        table_name=filters.get("table_name"),
    )
    return Call("GET", "/revisions", lambda answer: [Revision.from_json(item) for item in answer.json()], query)


def _get_revision(revision_id: int) -> Call[Revision]:
    return Call("GET", path("revisions", revision_id), lambda answer: Revision.from_json(answer.json()))


def _revision_files(revision_id: int, limit: int | None, after: int | None) -> Call[FilePage]:
    query = _present(limit=limit, after=after)
    return Call("GET", path("revisions", revision_id, "files"), lambda a: FilePage.from_json(a.json()), query)


def _register_revision(dataset: str, table_name: str, directory: str) -> Call[int]:
    body = {"dataset": dataset, "table_name": table_name, "path": directory}
    return Call("POST", "/revisions", lambda answer: int(answer.json()["location_id"]), body=body)


def _activate(dataset: str, table_name: str, revision_id: int) -> Call[None]:
    body = {"dataset": dataset, "table_name": table_name}
    return Call("POST", path("revisions", revision_id, "activate"), _nothing, body=body)


def _deactivate(dataset: str, table_name: str) -> Call[None]:
    body = {"dataset": dataset, "table_name": table_name}
    return Call("POST", "/revisions/deactivate", _nothing, body=body)


def _restore_revision(revision_id: int) -> Call[int]:
    return Call(
        "POST",
        path("revisions", revision_id, "restore"),
        lambda answer: int(answer.json()["total_files"]),
        takes_long=True,
    )


def _delete_revision(revision_id: int) -> Call[None]:
    return Call("DELETE", path("revisions", revision_id), _nothing, takes_long=True)


def _truncate(revision_id: int, concurrency: int | None) -> Call[int]:
    return Call(
        "DELETE",
        path("revisions", revision_id, "truncate"),
        lambda answer: int(answer.json()["files_deleted"]),
        _present(concurrency=concurrency),
        takes_long=True,
    )


def _prune(revision_id: int, before_block: int | None, delay_seconds: int | None) -> Call[Json]:
    query = _present(before_block=before_block, gc_delay_secs=delay_seconds)
    return Call("DELETE", path("revisions", revision_id, "prune"), lambda a: dict(a.json()), query, takes_long=True)


def _get_file(file_id: int) -> Call[LakeFile]:
    return Call("GET", path("files", file_id), lambda answer: LakeFile.from_json(answer.json()))


# Resources


class DatasetLake:
    """Forgetting and restoring datasets."""

    _send: Send

    def delete(self, name: str) -> None:
        """Forget a dataset, its versions and tags; its files stay. One that does not exist is a success too."""
        self._send(_delete_dataset(name))

    def delete_version(self, name: str, version: str) -> None:
        """Forget a semantic version that is not the latest."""
        self._send(_delete_version(name, version))

    def restore(self, reference: str) -> builtins.list[RestoredTable]:
        """Restore all tables from their files, and wait for the end, however long that takes."""
        return self._send(_restore(reference))

    def restore_progress(self, reference: str) -> RestoreProgress:
        """Return how far the last restore is."""
        return self._send(_restore_progress(reference))

    def restore_table(self, reference: str, table_name: str, *, revision_id: int | None = None) -> None:
        """Restore one table from its newest directory, or make a revision its active one."""
        self._send(_restore_table(reference, table_name, revision_id))


class AsyncDatasetLake:
    """Forgetting and restoring datasets."""

    _send: SendAsync

    async def delete(self, name: str) -> None:
        """Forget a dataset, its versions and tags; its files stay. One that does not exist is a success too."""
        await self._send(_delete_dataset(name))

    async def delete_version(self, name: str, version: str) -> None:
        """Forget a semantic version that is not the latest."""
        await self._send(_delete_version(name, version))

    async def restore(self, reference: str) -> builtins.list[RestoredTable]:
        """Restore all tables from their files, and wait for the end, however long that takes."""
        return await self._send(_restore(reference))

    async def restore_progress(self, reference: str) -> RestoreProgress:
        """Return how far the last restore is."""
        return await self._send(_restore_progress(reference))

    async def restore_table(self, reference: str, table_name: str, *, revision_id: int | None = None) -> None:
        """Restore one table from its newest directory, or make a revision its active one."""
        await self._send(_restore_table(reference, table_name, revision_id))


class ManifestUse:
    """What uses a manifest, and the end of those that nothing uses."""

    _send: Send

    def datasets(self, manifest_hash: str) -> builtins.list[ManifestTag]:
        """Return the versions and tags that point at a manifest."""
        return self._send(_manifest_datasets(manifest_hash))

    def delete(self, manifest_hash: str) -> None:
        """Delete a manifest that nothing needs; one that does not exist is a success too."""
        self._send(_delete_manifest(manifest_hash))

    def prune(self) -> int:
        """Delete all manifests that nothing needs, and count them."""
        return self._send(_prune_manifests())


class AsyncManifestUse:
    """What uses a manifest, and the end of those that nothing uses."""

    _send: SendAsync

    async def datasets(self, manifest_hash: str) -> builtins.list[ManifestTag]:
        """Return the versions and tags that point at a manifest."""
        return await self._send(_manifest_datasets(manifest_hash))

    async def delete(self, manifest_hash: str) -> None:
        """Delete a manifest that nothing needs; one that does not exist is a success too."""
        await self._send(_delete_manifest(manifest_hash))

    async def prune(self) -> int:
        """Delete all manifests that nothing needs, and count them."""
        return await self._send(_prune_manifests())


class Revisions:
    """Revisions of tables. ``dataset`` is ``namespace/name@revision`` (default ``latest``)."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def list(
        self, *, limit: int | None = None, after: int | None = None, **filters: Unpack[RevisionFilters]
    ) -> builtins.list[Revision]:
        """Return revisions below the id ``after``, the newest first; 100 unless ``limit`` says otherwise."""
        return self._send(_list_revisions(limit, after, filters))

    def get(self, revision_id: int) -> Revision:
        """Return a revision."""
        return self._send(_get_revision(revision_id))

    def file_page(self, revision_id: int, *, limit: int | None = None, after: int | None = None) -> FilePage:
        """Return one page of the files that count."""
        return self._send(_revision_files(revision_id, limit, after))

    def files(self, revision_id: int, *, page_size: int | None = None) -> Iterator[LakeFile]:
        """Go through all files that count, in the order of their blocks."""
        after = None
        while True:
            page = self.file_page(revision_id, limit=page_size, after=after)
            yield from page.files
            if page.next_cursor is None:
                return
            after = page.next_cursor

    def register(self, dataset: str, table_name: str, directory: str) -> int:
        """Make a directory of the lake known as a revision, inactive and without its files, and return its id."""
        return self._send(_register_revision(dataset, table_name, directory))

    def activate(self, dataset: str, table_name: str, revision_id: int) -> None:
        """Make a revision the active one of its table."""
        self._send(_activate(dataset, table_name, revision_id))

    def deactivate(self, dataset: str, table_name: str) -> None:
        """Leave a table without an active revision."""
        self._send(_deactivate(dataset, table_name))

    def restore(self, revision_id: int) -> int:
        """Register the files in the directory of a revision, and return how many count then."""
        return self._send(_restore_revision(revision_id))

    def delete(self, revision_id: int) -> None:
        """Forget an inactive revision; its files stay in the store."""
        self._send(_delete_revision(revision_id))

    def truncate(self, revision_id: int, *, concurrency: int | None = None) -> int:
        """Delete an inactive revision with all its files, and return how many there were."""
        return self._send(_truncate(revision_id, concurrency))

    def prune(self, revision_id: int, *, before_block: int | None = None, delay_seconds: int | None = None) -> Json:
        """Let the files go that do not hang together with the first ones; return ``files_scheduled`` and
        ``gc_delay_secs``.
        """
        return self._send(_prune(revision_id, before_block, delay_seconds))

    def file(self, file_id: int) -> LakeFile:
        """Return a file that counts."""
        return self._send(_get_file(file_id))


class AsyncRevisions:
    """Revisions of tables. ``dataset`` is ``namespace/name@revision`` (default ``latest``)."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def list(
        self, *, limit: int | None = None, after: int | None = None, **filters: Unpack[RevisionFilters]
    ) -> builtins.list[Revision]:
        """Return revisions below the id ``after``, the newest first; 100 unless ``limit`` says otherwise."""
        return await self._send(_list_revisions(limit, after, filters))

    async def get(self, revision_id: int) -> Revision:
        """Return a revision."""
        return await self._send(_get_revision(revision_id))

    async def file_page(self, revision_id: int, *, limit: int | None = None, after: int | None = None) -> FilePage:
        """Return one page of the files that count."""
        return await self._send(_revision_files(revision_id, limit, after))

    async def files(self, revision_id: int, *, page_size: int | None = None) -> AsyncIterator[LakeFile]:
        """Go through all files that count, in the order of their blocks."""
        after = None
        while True:
            page = await self.file_page(revision_id, limit=page_size, after=after)
            for file in page.files:
                yield file
            if page.next_cursor is None:
                return
            after = page.next_cursor

    async def register(self, dataset: str, table_name: str, directory: str) -> int:
        """Make a directory of the lake known as a revision, inactive and without its files, and return its id."""
        return await self._send(_register_revision(dataset, table_name, directory))

    async def activate(self, dataset: str, table_name: str, revision_id: int) -> None:
        """Make a revision the active one of its table."""
        await self._send(_activate(dataset, table_name, revision_id))

    async def deactivate(self, dataset: str, table_name: str) -> None:
        """Leave a table without an active revision."""
        await self._send(_deactivate(dataset, table_name))

    async def restore(self, revision_id: int) -> int:
        """Register the files in the directory of a revision, and return how many count then."""
        return await self._send(_restore_revision(revision_id))

    async def delete(self, revision_id: int) -> None:
        """Forget an inactive revision; its files stay in the store."""
        await self._send(_delete_revision(revision_id))

    async def truncate(self, revision_id: int, *, concurrency: int | None = None) -> int:
        """Delete an inactive revision with all its files, and return how many there were."""
        return await self._send(_truncate(revision_id, concurrency))

    async def prune(
        self, revision_id: int, *, before_block: int | None = None, delay_seconds: int | None = None
    ) -> Json:
        """Let the files go that do not hang together with the first ones; return ``files_scheduled`` and
        ``gc_delay_secs``.
        """
        return await self._send(_prune(revision_id, before_block, delay_seconds))

    async def file(self, file_id: int) -> LakeFile:
        """Return a file that counts."""
        return await self._send(_get_file(file_id))
