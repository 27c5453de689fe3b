"""From the parameters of a list, or the body of an operation on many jobs, to the filter of the job engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

from ampd.admin_api.bodies.job_requests import JobCriteriaQuery, JobListQuery, JobSelection, JobStatsQuery
from ampd.admin_api.errors import RequestRefusedError
from ampd.datasets import DatasetName
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import JobFilter, Operation, means_due_ones, parse_states

Value = TypeVar("Value", str, datetime)
Result = TypeVar("Result")
# What an operation on many jobs is about, unless it says.
_USUAL_STATES: Final = {
    Operation.CANCEL: "active",
    Operation.PAUSE: "active",
    Operation.RESUME: "paused",
    Operation.RETRY: "failed",
    Operation.DELETE: "terminal",
}


def job_filter(query: JobListQuery | JobStatsQuery) -> JobFilter:
    """Return the jobs that ``query`` asks for.

    :raises AmpError: INVALID_QUERY_PARAMETERS, naming what is wrong and what would be right.
    """
    return _filter(
        query,
        ErrorCode.INVALID_QUERY_PARAMETERS,
        status=query.status,
        before_id=query.last_job_id if isinstance(query, JobListQuery) else None,
        labels=_labels(query.label),
        created_after=query.created_after,
        created_before=query.created_before,
    )


def selected_jobs(operation: Operation, selection: JobSelection) -> JobFilter:
    """Return the jobs that an operation on many is about.

    :raises AmpError: INVALID_BODY, naming what is wrong and what would be right.
    """
    if selection.is_empty and not selection.all:
        raise AmpError(
            ErrorCode.INVALID_BODY,
            f'nothing is given by which to choose jobs: add a filter, or "all": true to {operation} all of them',
        )
    given = _USUAL_STATES[operation] if selection.status is None else selection.status
    return _filter(
        selection,
        ErrorCode.INVALID_BODY,
        status=given if isinstance(given, str) else ",".join(given),
        job_ids=None if selection.job_ids is None else tuple(selection.job_ids),
        labels=selection.labels,
    )


def _filter(
    criteria: JobCriteriaQuery | JobSelection,
    code: ErrorCode,
    *,
    status: str,
    labels: dict[str, str],
    before_id: int | None = None,
    job_ids: tuple[int, ...] | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> JobFilter:
    dataset = None if criteria.dataset is None else _dataset(criteria.dataset, code)
    namespace = None if dataset is None else dataset.namespace
    return JobFilter(
        states=_with_code(code, lambda: parse_states(status)),
        due_only=means_due_ones(status),
        before_id=before_id,
        job_ids=job_ids,
        kind=_one_of("kind", criteria.kind, "namespace", criteria.namespace, code),
        worker_id=criteria.worker_id,
        recurring=criteria.recurring,
        product=criteria.product,
        env=criteria.env,
        labels=labels,
        created_after=_one_of("created_after", created_after, "from", criteria.from_, code),
        created_before=_one_of("created_before", created_before, "to", criteria.to, code),
        dataset_namespace=_one_of("dataset", namespace, "dataset_namespace", criteria.dataset_namespace, code),
        dataset_name=dataset.name if dataset else None,
    )


def _one_of(name: str, value: Value | None, other_name: str, other: Value | None, code: ErrorCode) -> Value | None:
    """Return what is given by one of two names."""
    if value is not None and other is not None and value != other:
        message = f"{name} and {other_name} mean the same and are given with different values: leave one out"
        raise RequestRefusedError(code, message, status=400)
    return other if value is None else value


def _dataset(text: str, code: ErrorCode) -> DatasetName:
    return _with_code(code, lambda: DatasetName.parse(text))


def _with_code(code: ErrorCode, read: Callable[[], Result]) -> Result:
    """Return what is read; that it cannot be is told with the code of the request."""
    try:
        return read()
    except AmpError as error:
        raise RequestRefusedError(code, error.message, status=400) from None


def _labels(texts: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for key, value in map(_label, texts):
        if labels.setdefault(key, value) != value:
            message = f"label {key!r} is given twice with different values: no job has both"
            raise AmpError(ErrorCode.INVALID_QUERY_PARAMETERS, message)
    return labels


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise AmpError(ErrorCode.INVALID_QUERY_PARAMETERS, f"label {text!r}: want key=value")
    return key, value
