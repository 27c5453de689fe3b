"""Options that say which jobs are meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final, cast

from cyclopts import Parameter

from ampd.cli.ctl.common import CommandFailedError, WronglyUsedError
from ampd.client import JobCriteria, JobSelection


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Which:
    """Options that say which jobs are meant. Those that are given must all fit."""

    kind: Annotated[str | None, Parameter(help="Only jobs of this kind, such as extraction.")] = None
    product: Annotated[str | None, Parameter(help="Only jobs with this label product.")] = None
    env: Annotated[str | None, Parameter(help="Only jobs with this label env.")] = None
    recurring: Annotated[
        bool | None, Parameter(show_default=False, help="Only jobs with a timetable, or only those without.")
    ] = None
    dataset: Annotated[str | None, Parameter(help="Only jobs of this dataset: namespace/name.")] = None
    worker: Annotated[str | None, Parameter(help="Only jobs that this worker has, or had last.")] = None
    label: Annotated[
        list[str],
        Parameter(negative=(), show_default=False, help="Only jobs with this label: key=value. May be repeated."),
    ] = field(default_factory=list)
    created_after: Annotated[
        datetime | None,
        Parameter(help="Only jobs created then or later, such as 2026-03-04T10:00:00Z. UTC unless it says otherwise."),
    ] = None
    created_before: Annotated[datetime | None, Parameter(help="Only jobs created before.")] = None

    def criteria(self, failure: str, status: str | None) -> JobCriteria:
        """Return what was given, and a status.

        :raises CommandFailedError: for a label that is none.
        """
        return {
            "status": status,
            "kind": self.kind,
            "product": self.product,
            "env": self.env,
            "recurring": self.recurring,
            "dataset": self.dataset,
            "worker_id": self.worker,
            "labels": read_labels(self.label, failure) or None,
            "from_": in_utc(self.created_after),
            "to": in_utc(self.created_before),
        }


ANY: Final = Which()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Many:
    """Options of commands that are for one job or for many."""

    status: Annotated[
        str | None,
        Parameter(name=["--status", "-s"], help="Only jobs in this status, or in several with commas between."),
    ] = None
    which: Which = ANY
    all: Annotated[bool, Parameter(negative=(), show_default=False, help="All jobs, when nothing else is given.")] = (
        False
    )
    dry_run: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Change nothing; tell how many jobs it is about.")
    ] = False

    def selection(self, job_id: int | None, failure: str) -> JobSelection | None:
        """Return which jobs are meant; None: the one that was named.

        :raises WronglyUsedError: when both are given, or nothing.
        """
        is_given = self.status is not None or self.which != ANY or self.all or self.dry_run
        if job_id is not None and is_given:
            raise WronglyUsedError(failure, ["name either a job, or by options which jobs are meant"])
        if job_id is not None:
            return None
        if self.status is None and self.which == ANY and not self.all:
            say = "name a job, or say which jobs are meant: --product, --env, --status, …, or --all for all of them"
            raise WronglyUsedError(failure, [say])
        criteria = self.which.criteria(failure, self.status)
        return cast(JobSelection, {**criteria, "all": self.all, "dry_run": self.dry_run})


ONE: Final = Many()


def read_labels(texts: Sequence[str], failure: str) -> dict[str, str]:
    """Return the labels of ``key=value``.

    :raises CommandFailedError: naming the one that is none.
    """
    pairs = [text.partition("=") for text in texts]
    wrong = next((text for text, (key, equals, _) in zip(texts, pairs, strict=True) if not key or not equals), None)
    if wrong is not None:
        raise CommandFailedError(failure, [f"--label {wrong}: want key=value"])
    return {key: value for key, _, value in pairs}


def in_utc(moment: datetime | None) -> datetime | None:
    """Return a moment that knows its time zone: UTC unless it says otherwise."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
