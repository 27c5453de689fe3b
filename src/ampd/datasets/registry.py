"""Registered manifests and datasets, their versions and tags.

A manifest is stored once, under its hash. A dataset is linked to manifests; its tags point at them: semantic versions,
``dev`` (the manifest registered last) and ``latest`` (the manifest of the highest version).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ampd.datasets.manifests import RawManifest, parse_manifest
from ampd.datasets.names import DEV, LATEST, DatasetName, Reference, is_hash, parse_hash, parse_version
from ampd.datasets.semver import SemanticVersion
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import Connection, LimitedStore, MetadataDb, Row, sql
from ampd.object_store import ObjectStore

MAX_NAMED = 10


@dataclass(frozen=True)
class RegisteredDataset:
    """What a registration has registered. ``version`` is None when only ``dev`` was moved."""

    namespace: str
    name: str
    version: str | None
    manifest_hash: str
    kind: str
    start_block: int
    finalized_blocks_only: bool
    tables: list[str]


@dataclass(frozen=True)
class ResolvedDataset:
    """A revision and the manifest that it stands for.

    ``version`` is the highest semantic version that points at that manifest, None when there is none.
    """

    namespace: str
    name: str
    revision: str
    version: str | None
    manifest_hash: str


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset and its semantic versions, the highest precedence first."""

    namespace: str
    name: str
    latest_version: str | None
    versions: list[str]


@dataclass(frozen=True)
class VersionTag:
    """A semantic version; ``updated_at`` is when it was last pointed at another manifest."""

    version: str
    manifest_hash: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class DatasetVersions:
    """All versions of a dataset, the highest precedence first, and where the tags that move stand."""

    namespace: str
    name: str
    versions: list[VersionTag]
    latest_version: str | None
    latest_hash: str | None
    dev_hash: str | None


@dataclass(frozen=True)
class ManifestTag:
    """A tag (a semantic version, ``latest`` or ``dev``) of a dataset that points at a manifest."""

    namespace: str
    name: str
    version: str


@dataclass(frozen=True)
class ManifestSummary:
    """A registered manifest and the number of datasets that it is linked to."""

    hash: str
    kind: str
    dataset_count: int


class DatasetStore(LimitedStore):
    """Datasets in the metadata database, and the text of their manifests in an object store. Limited, it has the
    datasets in the namespaces, and their manifests.
    """

    def __init__(self, db: MetadataDb, manifests: ObjectStore) -> None:
        self._db = db
        self._manifests = manifests

    def _sees(self, dataset: DatasetName) -> bool:
        return self._visible is None or dataset.namespace in self._visible

    async def register_manifest(self, manifest: RawManifest) -> str:
        """Store ``manifest`` and return its hash. Doing it again changes nothing.

        The object is written while the row is held: nobody sees a row without its object, and whoever deletes the
        manifest comes before both or after both.
        """
        manifest_hash = manifest.hash()
        row = {"hash": manifest_hash, "kind": manifest.kind, "path": manifest_hash}
        async with self._db.transaction() as connection:
            await connection.execute(sql("datasets", "insert_manifest"), row)
            await self._manifests.replace(manifest_hash, manifest.canonical_json())
        return manifest_hash

    async def register(
        self, namespace: str, name: str, version: str | None, manifest_or_hash: RawManifest | str
    ) -> RegisteredDataset:
        """Link a manifest to a dataset, point ``dev`` at it, and tag it with ``version`` when there is one.

        A version that exists already is pointed at the new manifest. ``latest`` follows the highest version.

        :raises AmpError: INVALID_REFERENCE, INVALID_HASH, MANIFEST_NOT_FOUND; FORBIDDEN in a namespace that whoever
        asks does not see.
        """
        dataset = DatasetName(namespace, name)
        if self._visible is not None and namespace not in self._visible:
            message = f"this token is limited to {', '.join(self._visible)}: it registers no datasets elsewhere"
            raise AmpError(ErrorCode.FORBIDDEN, message)
        parsed_version = None if version is None else parse_version(version)
        if isinstance(manifest_or_hash, str):
            manifest_hash = parse_hash(manifest_or_hash)
            manifest = await self.manifest(manifest_hash)
        else:
            manifest = manifest_or_hash
            manifest_hash = await self.register_manifest(manifest)
        async with self._db.transaction() as connection:
            await _tag(connection, dataset, parsed_version, manifest_hash)
        return RegisteredDataset(
            namespace=namespace,
            name=name,
            version=version,
            manifest_hash=manifest_hash,
            kind=manifest.kind,
            start_block=manifest.start_block,
            finalized_blocks_only=manifest.finalized_blocks_only,
            tables=manifest.table_names,
        )

    async def list_all(self) -> list[DatasetSummary]:
        """Return all datasets, ordered by name."""
        return [_summary(row) for row in await self._db.fetch_all(sql("datasets", "list_datasets"), self._scope())]

    async def list_manifests(self) -> list[ManifestSummary]:
        """Return all registered manifests, ordered by hash."""
        rows = await self._db.fetch_all(sql("datasets", "list_manifests"), self._scope())
        return [ManifestSummary(**row) for row in rows]

    async def versions(self, namespace: str, name: str) -> DatasetVersions:
        """Return the versions and tags of a dataset.

        :raises AmpError: INVALID_REFERENCE, DATASET_NOT_FOUND.
        """
        dataset = DatasetName(namespace, name)
        tags = await self._tags(dataset)
        latest = _highest(tags)
        return DatasetVersions(
            namespace=namespace,
            name=name,
            versions=[
                VersionTag(tag.text, row["hash"], row["created_at"], row["updated_at"])
                for tag in _sorted_versions(tags)
                for row in (tags[tag.text],)
            ],
            latest_version=latest,
            latest_hash=tags[latest]["hash"] if latest else None,
            dev_hash=tags[DEV]["hash"] if DEV in tags else None,
        )

    async def resolve(self, reference: Reference) -> ResolvedDataset:
        """Return the manifest that ``reference`` stands for now.

        :raises AmpError: DATASET_NOT_FOUND: no such dataset, no such revision of it, or a hash not linked to it.
        """
        dataset = reference.dataset
        tags = await self._tags(dataset)
        if reference.is_hash:
            manifest_hash = reference.revision
            await self._require_link(dataset, manifest_hash, tags)
        elif reference.revision in tags:
            manifest_hash = tags[reference.revision]["hash"]
        else:
            raise _unknown_revision(reference, tags)
        pointing = {text: row for text, row in tags.items() if row["hash"] == manifest_hash}
        return ResolvedDataset(
            namespace=reference.namespace,
            name=reference.name,
            revision=reference.revision,
            version=_highest(pointing),
            manifest_hash=manifest_hash,
        )

    async def manifest(self, manifest_hash: str) -> RawManifest:
        """Return a registered manifest.

        :raises AmpError: INVALID_HASH, MANIFEST_NOT_FOUND; INVALID_MANIFEST when the stored object was altered.
        """
        wanted = parse_hash(manifest_hash)
        row = await self._db.fetch_one(sql("datasets", "find_manifest"), {"hash": wanted, **self._scope()})
        if row is None:
            raise _unknown_manifest(wanted)
        content = await self._manifests.get(row["path"])
        if content is None:
            raise AmpError(
                ErrorCode.MANIFEST_NOT_FOUND,
                f"manifest '{wanted}' is registered, but its object '{row['path']}' is not in {self._manifests.place}. "
                "Check manifests_dir in the config file, or register the same manifest again",
            )
        manifest = parse_manifest(content)
        if manifest.hash() != wanted:
            raise AmpError(
                ErrorCode.INVALID_MANIFEST,
                f"the object '{row['path']}' in {self._manifests.place} is not the manifest that was registered: its "
                f"hash is {manifest.hash()}. Register the original manifest again",
            )
        return manifest

    async def tags_of_manifest(self, manifest_hash: str) -> list[ManifestTag]:
        """Return the tags that point at a manifest, ordered by dataset.

        :raises AmpError: INVALID_HASH, MANIFEST_NOT_FOUND.
        """
        key = {"hash": parse_hash(manifest_hash), **self._scope()}
        if await self._db.fetch_one(sql("datasets", "find_manifest"), key) is None:
            raise _unknown_manifest(key["hash"])
        return [ManifestTag(**row) for row in await self._db.fetch_all(sql("datasets", "list_tags_of_manifest"), key)]

    async def delete(self, namespace: str, name: str, *, active_states: Collection[str]) -> None:
        """Forget a dataset, its versions and tags; one that does not exist is fine. Its manifests and files stay.

        :raises AmpError: INVALID_REFERENCE; ACTIVE_JOB_CONFLICT while a job in one of ``active_states`` is about it.
        """
        dataset = DatasetName(namespace, name)
        if not self._sees(dataset):
            return
        key = _key(dataset)
        async with self._db.transaction() as connection:
            await connection.execute(sql("datasets", "lock_dataset"), key)
            states = {**key, "states": list(active_states)}
            row = await (await connection.execute(sql("datasets", "find_active_job"), states)).fetchone()
            if row is not None:
                raise AmpError(
                    ErrorCode.ACTIVE_JOB_CONFLICT,
                    f"job {row['id']} of dataset '{dataset}' is {row['state']}: stop it first, with 'ampctl job stop "
                    f"{row['id']}'",
                )
            await connection.execute(sql("datasets", "delete_dataset"), key)

    async def delete_version(self, namespace: str, name: str, version: str) -> None:
        """Forget a semantic version; one that does not exist is fine.

        :raises AmpError: INVALID_REFERENCE; CANNOT_DELETE_LATEST_VERSION for the highest one, which `latest` means.
        """
        dataset, wanted = DatasetName(namespace, name), parse_version(version)
        if not self._sees(dataset):
            return
        key = _key(dataset)
        async with self._db.transaction() as connection:
            await connection.execute(sql("datasets", "lock_dataset"), key)
            rows = await (await connection.execute(sql("datasets", "list_tags"), key)).fetchall()
            if _highest(row["version"] for row in rows) == wanted.text:
                raise AmpError(
                    ErrorCode.CANNOT_DELETE_LATEST_VERSION,
                    f"version {wanted.text} of dataset '{dataset}' is its latest: register a higher one first, or "
                    f"delete the dataset with 'ampctl dataset rm {dataset}'",
                )
            await connection.execute(sql("datasets", "delete_tag"), {**key, "version": wanted.text})

    async def delete_manifest(self, manifest_hash: str) -> bool:
        """Delete a manifest that nothing needs; tell whether it was there.

        :raises AmpError: INVALID_HASH; MANIFEST_LINKED while a dataset or files in the lake need it.
        """
        key = {"hash": parse_hash(manifest_hash)}
        async with self._db.transaction() as connection:
            row = await (await connection.execute(sql("datasets", "lock_manifest"), key)).fetchone()
            if row is None:
                return False
            use = await (await connection.execute(sql("datasets", "find_use_of_manifest"), key)).fetchone()
            if use is not None:
                raise _manifest_linked(key["hash"], use)
            await connection.execute(sql("datasets", "delete_manifest"), key)
            await self._manifests.delete(row["path"])
        return True

    async def prune_manifests(self) -> int:
        """Delete all manifests that nothing needs, and count them."""
        rows = await self._db.fetch_all(sql("datasets", "list_unused_manifests"))
        return sum([await self._prune(row["hash"]) for row in rows])

    async def _prune(self, manifest_hash: str) -> bool:
        try:
            return await self.delete_manifest(manifest_hash)
        except AmpError as error:
            if error.code is not ErrorCode.MANIFEST_LINKED:
                raise
            return False  # somebody has begun to use it

    async def _tags(self, dataset: DatasetName) -> dict[str, Row]:
        """Return the tags of an existing dataset by their text, the oldest first."""
        is_seen = self._sees(dataset)
        rows = await self._db.fetch_all(sql("datasets", "list_tags"), _key(dataset)) if is_seen else []
        # A dataset is never without tags: its first registration sets `dev` in the same transaction.
        if not rows:
            raise await self._unknown_dataset(dataset)
        return {row["version"]: row for row in rows}

    async def _require_link(self, dataset: DatasetName, manifest_hash: str, tags: dict[str, Row]) -> None:
        key = {**_key(dataset), "hash": manifest_hash}
        if await self._db.fetch_one(sql("datasets", "is_manifest_linked"), key) is None:
            raise _unknown_revision(Reference(dataset.namespace, dataset.name, manifest_hash), tags)

    async def _unknown_dataset(self, dataset: DatasetName) -> AmpError:
        rows = await self._db.fetch_all(
            sql("datasets", "list_dataset_names"), {"limit": MAX_NAMED + 1, **self._scope()}
        )
        known = _enumerated([f"{row['namespace']}/{row['name']}" for row in rows])
        there_are = f"there are {known}" if rows else "none is registered"
        return AmpError(
            ErrorCode.DATASET_NOT_FOUND,
            f"dataset '{dataset}' not found; {there_are}. "
            f"'ampctl dataset register {dataset} MANIFEST.json --tag 1.0.0' registers it",
        )


async def _tag(
    connection: Connection, dataset: DatasetName, version: SemanticVersion | None, manifest_hash: str
) -> None:
    key = _key(dataset)
    await connection.execute(sql("datasets", "insert_dataset"), key)
    await connection.execute(sql("datasets", "lock_dataset"), key)
    await connection.execute(sql("datasets", "link_manifest"), {**key, "hash": manifest_hash})
    await _set_tag(connection, key, DEV, manifest_hash)
    if version is None:
        return
    await _set_tag(connection, key, version.text, manifest_hash)
    rows = await (await connection.execute(sql("datasets", "list_tags"), key)).fetchall()
    tags = {row["version"]: row for row in rows}
    latest = _highest(tags)
    if latest is not None:
        await _set_tag(connection, key, LATEST, tags[latest]["hash"])


async def _set_tag(connection: Connection, key: dict[str, Any], tag: str, manifest_hash: str) -> None:
    await connection.execute(sql("datasets", "set_tag"), {**key, "version": tag, "hash": manifest_hash})


def _key(dataset: DatasetName) -> dict[str, Any]:
    return {"namespace": dataset.namespace, "name": dataset.name}


def _sorted_versions(tags: Iterable[str]) -> list[SemanticVersion]:
    """Return the semantic versions among ``tags``, the highest first; equal ones stay in their order (oldest first)."""
    versions = [version for tag in tags if (version := SemanticVersion.parse(tag)) is not None]
    return sorted(versions, key=lambda version: version.precedence, reverse=True)


def _highest(tags: Iterable[str]) -> str | None:
    """Return the text of the version that ``latest`` means: the highest, and of equal ones the oldest."""
    versions = _sorted_versions(tags)
    return versions[0].text if versions else None


def _summary(row: Row) -> DatasetSummary:
    versions = [version.text for version in _sorted_versions(row["tags"])]
    return DatasetSummary(row["namespace"], row["name"], versions[0] if versions else None, versions)


def _unknown_revision(reference: Reference, tags: dict[str, Row]) -> AmpError:
    known = [version.text for version in _sorted_versions(tags)]
    known += [tag for tag in (LATEST, DEV) if tag in tags]
    what = "no manifest with this hash is linked to it" if is_hash(reference.revision) else "it has no such revision"
    return AmpError(
        ErrorCode.DATASET_NOT_FOUND,
        f"dataset reference '{reference}' not found: {what}; its revisions are {_enumerated(known)}",
    )


def _unknown_manifest(manifest_hash: str) -> AmpError:
    message = f"manifest '{manifest_hash}' is not registered; 'ampctl manifest register FILE' registers one"
    return AmpError(ErrorCode.MANIFEST_NOT_FOUND, message)


def _manifest_linked(manifest_hash: str, use: Row) -> AmpError:
    needs, mend = (
        (f"dataset '{use['dataset']}' is linked to it", f"'ampctl dataset rm {use['dataset']}' forgets the dataset")
        if use["dataset"] is not None
        else (
            f"the files of revision {use['revision_id']} were written by it",
            f"'ampctl table truncate {use['revision_id']}' deletes them",
        )
    )
    return AmpError(ErrorCode.MANIFEST_LINKED, f"manifest '{manifest_hash}' is needed: {needs}; {mend}")


def _enumerated(names: list[str]) -> str:
    more = ", …" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
