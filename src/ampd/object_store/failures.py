"""What a store's failure means: its code, its reason in a few words, and the mend.

obstore tells an answer's status, the store's own code and the kind of a broken connection only in its text, so they
are read from there; tests against real servers hold that text to its form.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from ampd.errors import AmpError, ErrorCode

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_STORE_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CONNECTION = re.compile(r"HttpError \{\s*kind: (\w+)")
_HOST = re.compile(r"Error performing [A-Z]+ (https?://[^/\s]+)")
_WHY_NO_CONNECTION = re.compile(r"(Connection refused|failed to lookup address information|certificate[^\"]{0,60})")
_METADATA_SERVICE = "169.254.169.254"

_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_IN_THE_WAY = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_NO_BUCKET_CODES = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"})
_FULL_CODES = frozenset({"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "XMinioBucketQuotaExceeded"})
_SLOW_CODES = frozenset(
    {"SlowDown", "SlowDownWrite", "SlowDownRead", "RequestLimitExceeded", "ServerBusy", "Throttling"}
)
_SLOW_STATUSES = frozenset({429, 503})
_STATUS_FULL = 507
# Of these a later try may know better; all that is left of 4xx is a refusal.
_PASSING_STATUSES = frozenset({408, 409})


@dataclass(frozen=True)
class Place:
    """The store that failed: its URL, its directory if it is one, and the seconds that a request may take."""

    url: str
    directory: Path | None
    timeout_seconds: float

    def __str__(self) -> str:
        return f"directory '{self.directory}'" if self.directory else f"object store '{self.url}'"


@dataclass(frozen=True)
class Failure:
    """``error`` says what to tell; ``passing`` whether the same try a moment later may succeed."""

    error: AmpError
    passing: bool = False


def tells_of_no_bucket(error: BaseException) -> bool:
    """Whether it is the bucket that a store says is missing, and not an object in it."""
    return _code_in(str(error)) in _NO_BUCKET_CODES


def _code_in(text: str) -> str:
    found = _STORE_CODE.search(text)
    return found[1] if found else ""


def explain(error: Exception, what: str, place: Place, *, changes: bool) -> Failure:
    """Explain a failure of ``what`` (a phrase such as "cannot write 'x' in …"); ``changes``: something was to be
    changed.
    """
    if place.directory is not None:
        return Failure(_of_directory(error, what, place, changes))
    return _of_bucket(error, what, place, changes)


def _of_bucket(error: Exception, what: str, place: Place, changes: bool) -> Failure:
    text = str(error)
    if _METADATA_SERVICE in text:
        return _refused(what, "no credentials were found in the environment, and this machine offers none", changes)
    found = _STATUS.search(text)
    if found is None:
        return _of_connection(text, what, place)
    code = _code_in(text)
    reason = f"it answered {found[1]} {code}".rstrip()
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) and code not in _FULL_CODES | _NO_BUCKET_CODES:
        return _refused(what, reason, changes)
    return _of_answer(int(found[1]), code, what, reason)


def _of_answer(status: int, code: str, what: str, reason: str) -> Failure:
    recoverable = passing = True
    kind = ErrorCode.DATA_STORE_ERROR
    mend = "Look into the store's own log"
    if code in _NO_BUCKET_CODES:
        kind, recoverable, passing = ErrorCode.DATA_STORE_NOT_FOUND, False, False
        mend = "There is no such bucket: create it, or check the URL, the endpoint and the region"
    elif status == _STATUS_FULL or code in _FULL_CODES:
        kind, passing = ErrorCode.DATA_STORE_FULL, False
        mend = "The store has no room left: free some space, or raise its quota"
    elif status in _SLOW_STATUSES or code in _SLOW_CODES:
        kind = ErrorCode.DATA_STORE_SLOW
        mend = "The store asks to slow down: lower worker.slots, or give it more power"
    elif status < 500:
        passing = status in _PASSING_STATUSES
        mend = "Check the URL, the endpoint and the region"
    return Failure(AmpError(kind, f"{what}: {reason}. {mend}", recoverable=recoverable), passing)


def _refused(what: str, reason: str, changes: bool) -> Failure:
    mend = "Check the credentials in the environment and what they may do in this bucket"
    if changes:
        return Failure(AmpError(ErrorCode.DATA_STORE_NOT_WRITABLE, f"{what}: {reason}. {mend}"))
    return Failure(AmpError(ErrorCode.DATA_STORE_NOT_READABLE, f"{what}: {reason}. {mend}", recoverable=True))


def _of_connection(text: str, what: str, place: Place) -> Failure:
    kind = found[1] if (found := _CONNECTION.search(text)) else ""
    host = found[1] if (found := _HOST.search(text)) else "the store"
    if kind == "Timeout":
        return Failure(
            AmpError(
                ErrorCode.DATA_STORE_SLOW,
                f"{what}: {host} gave no whole answer within {place.timeout_seconds:g} s. Check the store and the way "
                "to it, or raise object_store.timeout_secs",
                recoverable=True,
            ),
            passing=True,
        )
    if kind == "Connect":
        why = found[1] if (found := _WHY_NO_CONNECTION.search(text)) else "no connection"
        reason = f"{host} cannot be reached ({why})"
    else:
        reason = summary(text)
    return Failure(
        AmpError(
            ErrorCode.DATA_STORE_UNREACHABLE if kind else ErrorCode.DATA_STORE_ERROR,
            f"{what}: {reason}. Check that the store can be reached from this machine, and its URL",
            recoverable=True,
        ),
        passing=bool(kind),
    )


def _of_directory(error: Exception, what: str, place: Place, changes: bool) -> AmpError:
    number = _os_error_number(error)
    reason = os.strerror(number) if number else summary(error)
    if number in _FULL:
        return AmpError(
            ErrorCode.DATA_STORE_FULL,
            f"{what}: {reason} ({_free_space(place)}). Free some space or give the volume more",
            recoverable=True,
        )
    refused = number in _REFUSED or isinstance(error, PermissionDeniedError | PermissionError)
    mend = _mend_of_refusal(number) if refused or number in _IN_THE_WAY else "Check the disk and its file system"
    if changes and (refused or number in _IN_THE_WAY):
        return AmpError(ErrorCode.DATA_STORE_NOT_WRITABLE, f"{what}: {reason}. {mend}")
    code = ErrorCode.DATA_STORE_NOT_READABLE if refused else ErrorCode.DATA_STORE_ERROR
    return AmpError(code, f"{what}: {reason}. {mend}", recoverable=True)


def _mend_of_refusal(number: int | None) -> str:
    if number == errno.EROFS:
        return "The file system is read-only: mount it writable or configure another directory"
    if number in _IN_THE_WAY:
        return "A file stands where a directory is needed, or the other way round: move it or configure another place"
    return f"Give the user of ampd (uid {os.geteuid()}) the right to it or configure another directory"


def _free_space(place: Place) -> str:
    directory = place.directory or Path("/")
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    return f"{shutil.disk_usage(existing).free:,} bytes are free there"


def _os_error_number(error: BaseException) -> int | None:
    """Return the operating system's error number: obstore gives it inside the text only."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _OS_ERROR.search(str(error))
    return int(found.group(1)) if found else None


def summary(error: BaseException | str) -> str:
    """Return the error in short: neither the dump for developers nor what the server answered (but for its code)."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0].partition("<")[0]
    # The query of a URL may carry a signature.
    line = re.sub(r"\?\S*", "?…", line).rstrip(":. ")
    code = _code_in(text)
    return f"{line}: {code}" if code else line
