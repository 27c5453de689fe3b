"""Object stores: one small face over directories, S3, Google Cloud Storage, Azure and memory.

Paths inside a store are relative, with ``/`` between segments. Every failure is an
:class:`~ampd.errors.AmpError` whose code begins with ``DATA_STORE_``, and that names the store and the mend.
Credentials come from the environment (``AWS_*``, ``GOOGLE_*``, ``AZURE_*``) or a profile of AWS, never from the URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore
from obstore.store import ObjectStore as AnyStore

from ampd.errors import AmpError, ErrorCode
from ampd.object_store.buckets import open_bucket
from ampd.object_store.directory import Body, FileIsThereError, is_hidden, put_file, sweep
from ampd.object_store.failures import Failure, Place, explain, tells_of_no_bucket
from ampd.object_store.retries import try_for
from ampd.object_store.settings import StoreSettings

_T = TypeVar("_T")

# A bucket takes larger bodies in parts, each within the time of a request. Only a put of one piece can be told to
# refuse an object that is there.
LARGEST_PIECE = 32 * 1024 * 1024
PART_SIZE = 8 * 1024 * 1024
PARTS_AT_ONCE = 4


@dataclass(frozen=True)
class PutResult:
    """What a store said about a stored object. ``size`` is in bytes; the tags are the store's own, if it has any."""

    size: int
    e_tag: str | None
    version: str | None


@dataclass(frozen=True)
class StoredPart:
    """The end of an object, and what the store says of the whole: ``size`` in bytes, the tags are the store's own."""

    data: bytes
    size: int
    e_tag: str | None
    version: str | None


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a listing; ``size`` in bytes."""

    path: str
    size: int


_Objects = list[ObjectInfo]
_Paths = list[str]


@dataclass(frozen=True)
class StoreCheck:
    """What :meth:`ObjectStore.check` found. ``keeps_objects``: a second put of one name is refused."""

    keeps_objects: bool


class _GoneMeanwhileError(Exception):
    """A put was refused for an object that is not there any more, or not yet."""


class ObjectStore:
    """A place for objects: a directory, a bucket (or a prefix in it), or memory.

    ``url`` names it and holds no credentials. A directory comes into being with the first write.
    """

    def __init__(
        self,
        url: str,
        *,
        directory: Path | None = None,
        store: AnyStore | None = None,
        settings: StoreSettings | None = None,
    ) -> None:
        self.url = url
        self.directory = directory
        self._store = store
        self._settings = settings or StoreSettings()
        self._is_bucket = store is not None and not isinstance(store, MemoryStore)
        self._place = Place(url, directory, self._settings.timeout_seconds)

    @classmethod
    def open(cls, url_or_path: str | Path, settings: StoreSettings | None = None) -> ObjectStore:
        """Return the store of a plain path or of a ``file://``, ``s3://``, ``gs://``, ``az://`` or ``memory://`` URL.

        Nothing is read or created yet. Each ``memory://`` store is a new, empty one.

        :raises AmpError: CONFIG_INVALID when the URL is of another kind, malformed, or carries credentials, or when
            ``settings`` and the environment do not fit together.
        """
        text = str(url_or_path)
        if isinstance(url_or_path, Path) or "://" not in text:
            if not text:
                raise AmpError(ErrorCode.CONFIG_INVALID, "an object store needs a path or a URL, not an empty text")
            return cls._of_directory(Path(text))
        scheme = urlsplit(text).scheme
        if scheme == "file":
            return cls._of_directory(_path_of_file_url(text))
        if scheme == "memory":
            return cls("memory:///", store=MemoryStore())
        settings = settings or StoreSettings()
        shown, store = open_bucket(text, settings)
        return cls(shown, store=store, settings=settings)

    @classmethod
    def _of_directory(cls, path: Path) -> ObjectStore:
        directory = path.expanduser().absolute()
        return cls(directory.as_uri(), directory=directory)

    def url_of(self, path: str) -> str:
        """Return the full URL of the object at ``path``."""
        return f"{self.url.rstrip('/')}/{path}"

    @property
    def place(self) -> str:
        """The store as a person knows it: the directory, or the URL."""
        return str(self._place)

    async def get(self, path: str) -> bytes | None:
        """Return the object at ``path``, or None when there is none."""
        return await self._try("read", path, partial(self._get, path))

    async def get_from(self, path: str, offset: int) -> StoredPart | None:
        """Return the bytes of the object at ``path`` from ``offset`` to its end, or None when there is no object."""
        return await self._try("read", path, partial(self._get_from, path, offset))

    async def put(self, path: str, data: bytes | bytearray | memoryview | Path) -> PutResult:
        """Store ``data`` (a Path: that file's content) at ``path``, where nothing is yet.

        Readers see the whole object or none. When this returns, the object outlives a loss of power as far as the
        store can promise it. When exactly this content is there already, that is fine: a put whose answer was lost
        is made again.

        Two writers of one name at one moment: one wins, the other is refused; but for stores that do not know how to
        refuse (see :meth:`check`), and for objects above ``LARGEST_PIECE`` in buckets, where the last one wins.

        :raises AmpError: DATA_STORE_CONFLICT when another object is there. It stays.
        """
        return await self._try("write", path, partial(self._put_new, path, *_sized(data)), changes=True)

    async def replace(self, path: str, data: bytes | bytearray | memoryview | Path) -> PutResult:
        """Store ``data`` at ``path`` in the place of what is there, if anything is.

        Readers see the old object or the new one, never a part. Durable as with :meth:`put`.
        """
        size, body = _sized(data)
        return await self._try("write", path, partial(self._send, path, size, body, replaces=True), changes=True)

    async def list(self, prefix: str = "") -> _Objects:
        """Return all objects below ``prefix`` (whole segments, recursively), ordered by path."""
        return await self._try("list", prefix, partial(self._list, prefix))

    async def delete(self, path: str) -> None:
        """Remove the object at ``path``; it is fine when there is none."""
        await self._try("delete", path, partial(self._delete, path), changes=True)

    async def sweep(self, prefix: str = "") -> _Paths:
        """Delete what killed puts have left below ``prefix``, and return the paths. It was never visible to readers.

        Nothing that is still being written is touched. Buckets show nothing of an upload that was not completed: what
        remains of it there is removed by a rule of the bucket's own.
        """
        directory = self.directory
        if directory is None:
            return []

        async def work() -> _Paths:
            return await asyncio.to_thread(sweep, directory, prefix)

        return await self._try("sweep", prefix, work, changes=True)

    async def check(self) -> StoreCheck:
        """Write, overwrite, read, list and delete a small object, so that a store that cannot be trusted is known
        before there is work.

        :raises AmpError: DATA_STORE_UNSAFE when what was written cannot be read or listed at once, or what was
            deleted still can; the other codes when the store cannot be used.
        """
        folder = f"ampd-check-{uuid4().hex}"
        path = f"{folder}/probe"
        first, second = (f"{folder} {word}\n".encode() for word in ("first", "second"))
        await self.put(path, first)
        try:
            keeps_objects = await self._refuses(path, second)
            self._require(await self.get(path) == (first if keeps_objects else second), "reading it at once")
            self._require(path in {info.path for info in await self.list(folder)}, "listing it at once")
        finally:
            await self.delete(path)
        self._require(await self.get(path) is None, "reading it after its deletion")
        self._require(not await self.list(folder), "listing it after its deletion")
        if self.directory is not None:
            await asyncio.to_thread((self.directory / folder).rmdir)
        return StoreCheck(keeps_objects)

    async def _refuses(self, path: str, data: bytes) -> bool:
        try:
            await self.put(path, data)
        except AmpError as error:
            if error.code != ErrorCode.DATA_STORE_CONFLICT:
                raise
            return True
        return False

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise AmpError(
                ErrorCode.DATA_STORE_UNSAFE,
                f"{self.place} does not show what was done a moment before: a small object was written, and {what} "
                "gave another answer than it must. A lake needs a store that is consistent (a cache or a mirror in "
                "front of it is a common cause)",
            )

    async def _get(self, path: str) -> bytes | None:
        store = self._existing()
        if store is None:
            return None
        try:
            result = await obstore.get_async(store, path)
            return bytes(await result.bytes_async())
        except FileNotFoundError as error:
            _require_bucket(error)
            return None

    async def _get_from(self, path: str, offset: int) -> StoredPart | None:
        store = self._existing()
        if store is None:
            return None
        try:
            found = await obstore.get_async(store, path, options={"range": {"offset": offset}})
            meta = found.meta
            return StoredPart(bytes(await found.bytes_async()), meta["size"], meta["e_tag"], meta["version"])
        except FileNotFoundError as error:
            _require_bucket(error)
            return None

    async def _put_new(self, path: str, size: int, body: Body) -> PutResult:
        try:
            return await self._send(path, size, body, replaces=False)
        except (AlreadyExistsError, FileIsThereError):
            if not await self._holds(path, size, body):
                raise AmpError(
                    ErrorCode.DATA_STORE_CONFLICT,
                    f"cannot write '{path}' in {self.place}: another object is there, which is never overwritten. "
                    "Another writer chose the same name, or the place was used before",
                    recoverable=True,
                ) from None
            return await self._put_result(path, size)

    async def _send(self, path: str, size: int, body: Body, *, replaces: bool) -> PutResult:
        if self.directory is not None:
            await asyncio.to_thread(put_file, self.directory, path, body, replace=replaces)
            return await self._put_result(path, size)
        store = self._writable()
        if size > LARGEST_PIECE and self._is_bucket:
            # What was sent of an upload that fails is given up by obstore, and is never visible.
            if not replaces and await self._is_there(path):
                raise FileIsThereError
            result = await obstore.put_async(
                store, path, body, use_multipart=True, chunk_size=PART_SIZE, max_concurrency=PARTS_AT_ONCE
            )
        else:
            mode: Any = "overwrite" if replaces else "create"
            result = await obstore.put_async(store, path, body, mode=mode, use_multipart=False)
        return PutResult(size=size, e_tag=result["e_tag"], version=result["version"])

    async def _put_result(self, path: str, size: int) -> PutResult:
        meta = await obstore.head_async(self._writable(), path)
        return PutResult(size=size, e_tag=meta["e_tag"], version=meta["version"])

    async def _is_there(self, path: str) -> bool:
        try:
            await obstore.head_async(self._writable(), path)
        except FileNotFoundError:
            return False
        return True

    async def _holds(self, path: str, size: int, body: Body) -> bool:
        """Whether the object at ``path`` has exactly this content."""
        try:
            found = await obstore.get_async(self._writable(), path)
        except FileNotFoundError:
            raise _GoneMeanwhileError from None
        if found.meta["size"] != size:
            return False
        wanted = await asyncio.to_thread(body.read_bytes) if isinstance(body, Path) else body
        return bool(bytes(await found.bytes_async()) == wanted)

    async def _list(self, prefix: str) -> _Objects:
        store = self._existing()
        if store is None:
            return []
        found = []
        async for page in obstore.list(store, prefix or None):
            found += [ObjectInfo(meta["path"], meta["size"]) for meta in page if not is_hidden(meta["path"])]
        return sorted(found, key=lambda info: info.path)

    async def _delete(self, path: str) -> None:
        store = self._existing()
        if store is None:
            return
        try:
            await obstore.delete_async(store, path)
        except FileNotFoundError as error:
            _require_bucket(error)

    def _existing(self) -> AnyStore | None:
        """Return the store for reading, or None while its directory does not exist."""
        if self._store is None and self.directory is not None and self.directory.exists():
            self._store = LocalStore(prefix=self.directory)
        return self._store

    def _writable(self) -> AnyStore:
        if self._store is None:
            self._store = LocalStore(prefix=self.directory, mkdir=True)
        return self._store

    async def _try(self, verb: str, path: str, work: Callable[[], Awaitable[_T]], *, changes: bool = False) -> _T:
        """Do ``work``, again where that can help, and turn the errors of obstore and of the operating system into
        ours.
        """
        what = f"cannot {verb} '{path}' in {self.place}"

        def explained(error: Exception) -> Failure | None:
            if isinstance(error, _GoneMeanwhileError):
                return Failure(_gone_meanwhile(what), passing=True)
            if isinstance(error, BaseError | OSError):
                return explain(error, what, self._place, changes=changes)
            return None

        return await try_for(self._settings.retry_seconds if self._is_bucket else 0.0, work, explained)


def _gone_meanwhile(what: str) -> AmpError:
    return AmpError(
        ErrorCode.DATA_STORE_CONFLICT,
        f"{what}: the store refused it for an object that it does not show. Another writer uses the same name",
        recoverable=True,
    )


def _require_bucket(error: FileNotFoundError) -> None:
    """Raise ``error`` again when it is not the object that is missing but the whole bucket."""
    if tells_of_no_bucket(error):
        raise error


def _path_of_file_url(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path or parts.query or parts.fragment:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"object store 'file://{parts.netloc.rpartition('@')[2]}{parts.path}': a file URL has the form file:///absolute/path",
        )
    return Path(unquote(parts.path))


def _sized(data: bytes | bytearray | memoryview | Path) -> tuple[int, Body]:
    """Return the size in bytes and the body as it is written, without a copy."""
    if isinstance(data, Path):
        return data.stat().st_size, data
    if isinstance(data, bytes):
        return len(data), data
    view = memoryview(data).cast("B")
    return view.nbytes, view
