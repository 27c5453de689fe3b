"""Object stores: one small face over directories, S3, Google Cloud Storage, Azure and memory.

Paths inside a store are relative, with ``/`` between segments. Every failure is an
:class:`~ampd.errors.AmpError` that names the store and the mend: DATA_STORE_NOT_WRITABLE (fatal), DATA_STORE_FULL
and DATA_STORE_ERROR (both recoverable). Credentials come from the environment (``AWS_*``, ``GOOGLE_*``,
``AZURE_*``), never from the URL.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, MemoryStore, from_url
from obstore.store import ObjectStore as AnyStore

from ampd.errors import AmpError, ErrorCode

REMOTE_SCHEMES = ("s3", "gs", "az")
SCHEMES = ("file", *REMOTE_SCHEMES, "memory")
# A store that does not answer must not hold a job for minutes: the job's own retry is the better place to wait.
# (A single request ends after 30 s by obstore's default. Options of its HTTP client given here would replace those of
# the environment, such as AWS_ALLOW_HTTP: so there are none.)
MAX_RETRIES = 3
RETRY_TIMEOUT = timedelta(seconds=30)

# obstore passes the operating system's error on only as text.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_S3_ERROR_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_IN_THE_WAY = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class PutResult:
    """What a store said about a stored object. ``size`` is in bytes; the tags are the store's own, if it has any."""

    size: int
    e_tag: str | None
    version: str | None


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a listing; ``size`` in bytes."""

    path: str
    size: int


class ObjectStore:
    """A place for objects: a directory, a bucket (or a prefix in it), or memory.

    ``url`` names it and holds no credentials. A directory comes into being with the first write.
    """

    def __init__(self, url: str, *, directory: Path | None = None, store: AnyStore | None = None) -> None:
        self.url = url
        self.directory = directory
        self._store = store

    @classmethod
    def open(cls, url_or_path: str | Path) -> ObjectStore:
        """Return the store of a plain path or of a ``file://``, ``s3://``, ``gs://``, ``az://`` or ``memory://`` URL.

        Nothing is read or created yet. Each ``memory://`` store is a new, empty one.

        :raises AmpError: CONFIG_INVALID when the URL is of another kind, malformed, or carries credentials.
        """
        text = str(url_or_path)
        if isinstance(url_or_path, Path) or "://" not in text:
            if not text:
                raise AmpError(ErrorCode.CONFIG_INVALID, "an object store needs a path or a URL, not an empty text")
            return cls._of_directory(Path(text))
        parts = urlsplit(text)
        if parts.scheme == "file":
            return cls._of_directory(_path_of_file_url(text))
        if parts.scheme == "memory":
            return cls("memory:///", store=MemoryStore())
        return cls._of_bucket(text)

    @classmethod
    def _of_directory(cls, path: Path) -> ObjectStore:
        directory = path.expanduser().absolute()
        return cls(directory.as_uri(), directory=directory)

    @classmethod
    def _of_bucket(cls, url: str) -> ObjectStore:
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if parts.scheme not in REMOTE_SCHEMES:
            raise AmpError(
                ErrorCode.CONFIG_INVALID,
                f"object store '{shown}': unknown scheme '{parts.scheme}'. Use a plain path or one of "
                + ", ".join(f"{scheme}://" for scheme in SCHEMES),
            )
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise AmpError(
                ErrorCode.CONFIG_INVALID,
                f"object store '{shown}': user names, keys and parameters do not belong into the URL. Give "
                "credentials through the environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, "
                "AZURE_STORAGE_ACCOUNT_KEY, …)",
            )
        try:
            store = from_url(url, retry_config={"max_retries": MAX_RETRIES, "retry_timeout": RETRY_TIMEOUT})
        except (BaseError, ValueError) as error:
            raise AmpError(
                ErrorCode.CONFIG_INVALID,
                f"object store '{shown}' cannot be opened: {_summary(error)}. Check the URL and the variables "
                "of that store in the environment",
            ) from None
        return cls(shown.rstrip("/"), store=store)

    def url_of(self, path: str) -> str:
        """Return the full URL of the object at ``path``."""
        return f"{self.url.rstrip('/')}/{path}"

    @property
    def place(self) -> str:
        """The store as a person knows it: the directory, or the URL."""
        return f"directory '{self.directory}'" if self.directory else f"object store '{self.url}'"

    async def get(self, path: str) -> bytes | None:
        """Return the object at ``path``, or None when there is none."""
        with self._errors("read", path):
            store = self._existing()
            if store is None:
                return None
            try:
                result = await obstore.get_async(store, path)
                return bytes(await result.bytes_async())
            except FileNotFoundError:
                return None

    async def put(self, path: str, data: bytes | bytearray | memoryview | Path) -> PutResult:
        """Store ``data`` (a Path: that file's content) at ``path``; replace what is there.

        Readers see the old object or the new one, never a part. When this returns, the object outlives a
        loss of power as far as the store can promise it.
        """
        size, body = _sized(data)
        with self._errors("write", path):
            store = self._writable()
            # Large bodies go in pieces, of which a bounded number is in memory, and appear as a whole at the end.
            result = await obstore.put_async(store, path, body)
            if self.directory is not None:
                await asyncio.to_thread(_sync_to_disk, self.directory, path)
        return PutResult(size=size, e_tag=result["e_tag"], version=result["version"])

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Return all objects below ``prefix`` (whole segments, recursively), ordered by path."""
        with self._errors("list", prefix):
            store = self._existing()
            if store is None:
                return []
            found = []
            async for page in obstore.list(store, prefix or None):
                found += [ObjectInfo(path=meta["path"], size=meta["size"]) for meta in page]
        return sorted(found, key=lambda info: info.path)

    async def delete(self, path: str) -> None:
        """Remove the object at ``path``; it is fine when there is none."""
        with self._errors("delete", path, changes=True):
            store = self._existing()
            if store is None:
                return
            try:
                await obstore.delete_async(store, path)
            except FileNotFoundError:
                return

    async def check_writable(self) -> None:
        """Write and delete a small probe object, so that a store that refuses writes is known before there is work.

        :raises AmpError: DATA_STORE_NOT_WRITABLE, DATA_STORE_FULL, DATA_STORE_ERROR.
        """
        probe = f"ampd-write-probe-{uuid4().hex}"
        await self.put(probe, b"ampd checks that it may write here\n")
        await self.delete(probe)

    def _existing(self) -> AnyStore | None:
        """Return the store for reading, or None while its directory does not exist."""
        if self._store is None and self.directory is not None and self.directory.exists():
            self._store = LocalStore(prefix=self.directory)
        return self._store

    def _writable(self) -> AnyStore:
        if self._store is None:
            self._store = LocalStore(prefix=self.directory, mkdir=True)
        return self._store

    @contextmanager
    def _errors(self, verb: str, path: str, *, changes: bool = False) -> Iterator[None]:
        """Turn the errors of obstore and of the operating system into ours."""
        try:
            yield
        except (BaseError, OSError) as error:
            raise self._explained(
                error, f"cannot {verb} '{path}' in {self.place}", changes or verb == "write"
            ) from None

    def _explained(self, error: Exception, what: str, changes: bool) -> AmpError:
        number = _os_error_number(error)
        reason = os.strerror(number) if number else _summary(error)
        refused = number in _REFUSED or isinstance(
            error, PermissionDeniedError | UnauthenticatedError | PermissionError
        )
        if number in _FULL:
            return AmpError(
                ErrorCode.DATA_STORE_FULL,
                f"{what}: {reason} ({self._free_space()}). Free some space or give the volume more",
                recoverable=True,
            )
        if changes and (refused or number in _IN_THE_WAY):
            return AmpError(ErrorCode.DATA_STORE_NOT_WRITABLE, f"{what}: {reason}. {self._mend_of_refusal(number)}")
        mend = self._mend_of_refusal(number) if refused else self._mend_of_trouble()
        return AmpError(ErrorCode.DATA_STORE_ERROR, f"{what}: {reason}. {mend}", recoverable=True)

    def _mend_of_refusal(self, number: int | None) -> str:
        if self.directory is None:
            return "Check the credentials in the environment and what they may do in this bucket"
        if number == errno.EROFS:
            return "The file system is read-only: mount it writable or configure another directory"
        if number in _IN_THE_WAY:
            return (
                "A file stands where a directory is needed, or the other way round: move it or configure another place"
            )
        return f"Give the user of ampd (uid {os.geteuid()}) the right to it or configure another directory"

    def _mend_of_trouble(self) -> str:
        if self.directory is None:
            return "Check that the store can be reached from this machine, and its URL"
        return "Check the disk and its file system"

    def _free_space(self) -> str:
        if self.directory is None:
            return "the store has no room left"
        existing = next(path for path in (self.directory, *self.directory.parents) if path.exists())
        return f"{shutil.disk_usage(existing).free:,} bytes are free there"


def _path_of_file_url(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path or parts.query or parts.fragment:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"object store 'file://{parts.netloc.rpartition('@')[2]}{parts.path}': a file URL has the form file:///absolute/path",
        )
    return Path(unquote(parts.path))


def _sized(data: bytes | bytearray | memoryview | Path) -> tuple[int, bytes | memoryview | Path]:
    """Return the size in bytes and the body as obstore takes it, without a copy."""
    if isinstance(data, Path):
        return data.stat().st_size, data
    if isinstance(data, bytes):
        return len(data), data
    view = memoryview(data).cast("B")
    return view.nbytes, view


def _sync_to_disk(root: Path, path: str) -> None:
    """Make a file in a directory durable, with the names on the way to it: the metadata database will count on it."""
    target = root / path.lstrip("/")
    for place in (target, *target.parents):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if place == root:
            return


def _os_error_number(error: BaseException) -> int | None:
    """Return the operating system's error number: obstore gives it inside the text only."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _OS_ERROR.search(str(error))
    return int(found.group(1)) if found else None


def _summary(error: BaseException) -> str:
    """Return the error in short: neither the dump for developers nor what the server answered (but for S3's code)."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0].partition("<")[0]
    # The query of a URL may carry a signature.
    line = re.sub(r"\?\S*", "?…", line).rstrip(":. ")
    code = _S3_ERROR_CODE.search(text)
    return f"{line}: {code.group(1)}" if code else line
