"""Time zones from the tzdata package alone: what the host knows of them must not change when a job fires. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from tzdata import IANA_VERSION

from ampd.errors import AmpError, ErrorCode

# Two changes of a zone's offset lie at least a week apart, in all zones since 1970 (measured).
_STEP = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all IANA time zones."""
    return frozenset((resources.files("tzdata") / "zones").read_text(encoding="ascii").split())


@lru_cache(maxsize=1024)
def load_zone(name: str) -> ZoneInfo:
    """Return a time zone.

    :raises AmpError: INVALID_SCHEDULE (field ``tz``) for a name that IANA does not have.
    """
    if name not in zone_names():
        near = [known for known in zone_names() if known.lower() == name.lower()]
        hint = f"did you mean {near[0]!r}?" if near else "want an IANA name such as 'America/New_York'"
        raise AmpError(
            ErrorCode.INVALID_SCHEDULE, f"tz: there is no time zone {name!r}; {hint}", context={"field": "tz"}
        )
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def zone_data_version() -> str:
    """Return the release of the IANA time zones that are in use."""
    return str(IANA_VERSION)


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    """Return how far the clocks of ``zone`` are ahead of UTC at ``instant``."""
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - narrows the type: a ZoneInfo always has one
    return offset


def next_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first whole second after ``start``, up to ``end``, at which the clocks of ``zone`` differ from before;
    None when they do not change.
    """
    start = start.replace(microsecond=0)
    offset = offset_at(zone, start)
    while start < end:
        later = min(start + _STEP, end)
        if offset_at(zone, later) != offset:
            return _bisect(zone, start, later, offset)
        start = later
    return None


def _bisect(zone: ZoneInfo, same: datetime, other: datetime, offset: timedelta) -> datetime:
    while other - same > _SECOND:
        middle = same + timedelta(seconds=(other - same) // _SECOND // 2)
        if offset_at(zone, middle) == offset:
            same = middle
        else:
            other = middle
    return other


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the clocks of ``zone`` first show ``wall`` (naive) or, where they leap over it, the
    one at which they do so.
    """
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    # A time in a gap is counted with the offset before it, so it lies behind the leap, by less than the leap is long.
    before = (wall.replace(tzinfo=zone, fold=1)).astimezone(UTC)
    change = next_change(zone, before, instant)
    return instant if change is None else change
