"""From the query parameters of a list to the filter of the job engine."""

from __future__ import annotations

from ampd.admin_api.errors import RequestRefusedError
from ampd.admin_api.requests import JobListQuery
from ampd.datasets import DatasetName
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import JobFilter, parse_states


def job_filter(query: JobListQuery) -> JobFilter:
    """Return the jobs that ``query`` asks for.

    :raises AmpError: INVALID_QUERY_PARAMETERS, naming what is wrong and what would be right.
    """
    dataset = None if query.dataset is None else _dataset(query.dataset)
    return JobFilter(
        states=parse_states(query.status),
        before_id=query.last_job_id,
        kind=query.kind,
        worker_id=query.worker_id,
        labels=_labels(query.label),
        created_after=query.created_after,
        created_before=query.created_before,
        dataset_namespace=dataset.namespace if dataset else None,
        dataset_name=dataset.name if dataset else None,
    )


def _dataset(text: str) -> DatasetName:
    try:
        return DatasetName.parse(text)
    except AmpError as error:
        raise RequestRefusedError(ErrorCode.INVALID_QUERY_PARAMETERS, error.message, status=400) from None


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
