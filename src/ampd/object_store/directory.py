"""Puts into a directory: a file is there whole or not at all, whatever dies in the middle.

A new file is written without a name (``O_TMPFILE``) and gets it at the end, so that a process that is killed leaves
nothing. Where that is not possible, and to replace a file, the content goes to a hidden file first. Its writer holds a
lock on it, which ends with the process: by that the sweep knows the leftovers of killed puts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_HIDDEN = re.compile(r"\.ampd-put-[0-9a-f]{32}\.tmp")
# What obstore's own puts leave, with which ampd 0.1.0 wrote.
_HIDDEN_OF_OBSTORE = re.compile(r".+#\d+")
# Where a file cannot be locked, one that has not been touched for so long belongs to nobody.
_ABANDONED_AFTER_SECONDS = 3600.0
_MODE = 0o666  # less what the umask takes
_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
_NO_LINKS = frozenset({errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS, errno.EMLINK})
_NO_LOCKS = frozenset({errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL})
_OPEN_FILES = Path("/proc/self/fd")

Body = bytes | memoryview | Path


class FileIsThereError(Exception):
    """The name of a new file is taken."""


def put_file(root: Path, path: str, body: Body, *, replace: bool) -> None:
    """Write ``body`` (a Path: that file's content) to ``path`` below ``root``, durably.

    :raises FileIsThereError: when something is there and ``replace`` is not set.
    :raises OSError: when it cannot be written; nothing is there then that was not before.
    """
    target = root / _checked(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if replace:
        _replace(target, body)
    elif not _put_without_name(target, body):
        _put_by_link(target, body)
    _sync_names(root, target)


def is_hidden(path: str) -> bool:
    """Whether ``path`` is what a put writes before it has its name."""
    name = path.rpartition("/")[2]
    return bool(_HIDDEN.fullmatch(name) or _HIDDEN_OF_OBSTORE.fullmatch(name))


def sweep(root: Path, prefix: str) -> list[str]:
    """Delete what killed puts left below ``prefix``, and return the paths. What a living one writes stays.

    :raises OSError: when a leftover cannot be deleted.
    """
    swept = []
    for folder, _, names in os.walk(root / prefix):
        for name in filter(is_hidden, names):
            file = Path(folder, name)
            with suppress(FileNotFoundError):  # its writer, or another sweep, was quicker
                if _delete_abandoned(file):
                    swept.append(file.relative_to(root).as_posix())
    return swept


def _checked(path: str) -> str:
    if not path or any(segment in ("", ".", "..") for segment in path.split("/")) or is_hidden(path):
        raise ValueError(f"{path!r} is no path of an object")
    return path


def _put_without_name(target: Path, body: Body) -> bool:
    """Write a file that has no name until it is whole; False where this cannot be done."""
    if not hasattr(os, "O_TMPFILE") or not _OPEN_FILES.exists():
        return False
    try:
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_WRONLY, _MODE)
    except OSError as error:
        if error.errno in _NO_TMPFILE:
            return False
        raise
    try:
        _write(descriptor, body)
        try:
            # A directory must be named for Python to follow the link to the open file.
            os.link(_OPEN_FILES / str(descriptor), target, src_dir_fd=descriptor, follow_symlinks=True)
        except FileExistsError:
            raise FileIsThereError from None
    finally:
        os.close(descriptor)
    return True


def _put_by_link(target: Path, body: Body) -> None:
    with _hidden_file(target.parent, body) as hidden:
        try:
            os.link(hidden, target)
        except FileExistsError:
            raise FileIsThereError from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # No hard links here: two writers of one name at one moment would not see each other.
            if target.exists():
                raise FileIsThereError from None
            hidden.rename(target)


def _replace(target: Path, body: Body) -> None:
    with _hidden_file(target.parent, body) as hidden:
        hidden.rename(target)


@contextmanager
def _hidden_file(folder: Path, body: Body) -> Iterator[Path]:
    """Write ``body`` to a hidden file, which is gone at the end unless it was renamed."""
    hidden, descriptor = _locked_file(folder)
    try:
        _write(descriptor, body)
        yield hidden
    finally:
        hidden.unlink(missing_ok=True)
        os.close(descriptor)


def _locked_file(folder: Path) -> tuple[Path, int]:
    while True:
        hidden = folder / f".ampd-put-{uuid4().hex}.tmp"
        descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        # A sweep that came between the two lines has deleted it: then once more.
        if hidden.exists():
            return hidden, descriptor
        os.close(descriptor)


def _write(descriptor: int, body: Body) -> None:
    if isinstance(body, Path):
        with body.open("rb") as source, os.fdopen(descriptor, "wb", closefd=False) as file:
            shutil.copyfileobj(source, file, 1 << 20)
    else:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _sync_names(root: Path, target: Path) -> None:
    """Make the names on the way to a file durable: the metadata database will count on it."""
    for place in target.parents:
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if place == root:
            return


def _delete_abandoned(file: Path) -> bool:
    if not _HIDDEN.fullmatch(file.name):
        return _delete_old(file)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink()
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return _delete_old(file)
    finally:
        os.close(descriptor)
    return True


def _delete_old(file: Path) -> bool:
    if time.time() - file.stat().st_mtime < _ABANDONED_AFTER_SECONDS:
        return False
    file.unlink()
    return True
