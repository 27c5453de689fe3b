"""Values that are what the second lifecycle says (its words, texts, and milliseconds), and still know all of what the
Admin API has said.
"""

from __future__ import annotations

import datetime as dt
from datetime import UTC, timedelta
from typing import Any, Final

Json = dict[str, Any]
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=UTC)


class Instant(int):
    """A moment: whole milliseconds since 1970, UTC. ``datetime`` gives it as one."""

    __slots__ = ()

    @property
    def datetime(self) -> dt.datetime:
        """The same moment, in UTC."""
        return _EPOCH + timedelta(milliseconds=int(self))

    def astimezone(self, tz: dt.tzinfo | None = None) -> dt.datetime:
        """Return what clocks show in a time zone (the local one unless given)."""
        return self.datetime.astimezone(tz)

    def isoformat(self) -> str:
        """Return it as ``2026-03-04T10:00:00.250000+00:00``."""
        return self.datetime.isoformat()

    @classmethod
    def of(cls, data: Json, name: str) -> Instant:
        """Read the moment ``name`` of an answer.

        :raises KeyError: when it is not there.
        """
        moment = cls.maybe(data, name)
        if moment is None:
            raise KeyError(name)
        return moment

    @classmethod
    def maybe(cls, data: Json, name: str) -> Instant | None:
        """Read the moment ``name`` of an answer: its milliseconds, or else its text; None when it is not there."""
        if data.get(f"{name}_ms") is not None:
            return cls(data[f"{name}_ms"])
        text = data.get(name)
        return None if text is None else cls((dt.datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1))


class JobStatus(str):
    """Where a job stands, in the words of the second lifecycle: scheduled, queued, running, completed, failed,
    cancelled or paused.

    ``state`` is the state behind it (SCHEDULED, RUNNING, STOP_REQUESTED, STOPPING, PAUSED, COMPLETED, STOPPED or
    FAILED). A status equals that, too: ``job.status == "STOPPED"`` is as true as ``job.status == "cancelled"``. Sets
    and the keys of dicts know it by its own word alone.
    """

    __slots__ = ("state",)
    state: str

    def __new__(cls, word: str, state: str) -> JobStatus:
        """Take both names."""
        made = super().__new__(cls, word)
        made.state = state
        return made

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or (not isinstance(other, JobStatus) and other == self.state)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __reduce__(self) -> tuple[type[JobStatus], tuple[str, str]]:
        return JobStatus, (str(self), self.state)


class JobError(str):
    """What went wrong: the message, as text. ``code`` is a word of :class:`ampd.errors.ErrorCode`, ``context`` has what
    else is known, ``raw`` is the error as it came; its keys can be read from the error itself, too.
    """

    __slots__ = ("raw",)
    raw: Json

    def __new__(cls, raw: Json) -> JobError:
        """Read ``last_error`` of a job, or ``error_detail`` of an execution."""
        made = super().__new__(cls, raw.get("error_message", "unknown error"))
        made.raw = raw
        return made

    @classmethod
    def maybe(cls, raw: Json | None) -> JobError | None:
        """Read an error, if there is one."""
        return None if raw is None else cls(raw)

    @property
    def code(self) -> str:
        """What kind of error it is."""
        return str(self.raw.get("error_code", "unknown"))

    @property
    def context(self) -> Json:
        """What else is known of it."""
        return dict(self.raw.get("error_context") or {})

    def __getitem__(self, key: Any) -> Any:
        return self.raw[key] if isinstance(key, str) else super().__getitem__(key)

    def __reduce__(self) -> tuple[type[JobError], tuple[Json]]:
        return JobError, (self.raw,)
