"""Which jobs a list shows, and which ones an operation is about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from ampd.jobs.states import ACTIVE_STATES, JobState
from ampd.metadata_db import sql

# A field of the filter, and the condition that it stands for.
_CONDITIONS: Final[dict[str, LiteralString]] = {
    "job_id": "id = %(job_id)s",
    "job_ids": "id = ANY (%(job_ids)s::bigint[])",
    "before_id": "id < %(before_id)s",
    "kind": "kind = %(kind)s",
    "worker_id": "worker_id = %(worker_id)s",
    # By its own name, as the index has it.
    "product": "labels ->> 'product' = %(product)s",
    "env": "labels ->> 'env' = %(env)s",
    "labels": "labels @> %(labels)s",
    "created_after": "created_at >= %(created_after)s",
    "created_before": "created_at < %(created_before)s",
    # The kinds are those of the index: only jobs of datasets are in it.
    "dataset_namespace": "kind IN ('extraction', 'verification', 'compaction') "
    "AND input ->> 'dataset_namespace' = %(dataset_namespace)s",
    "visible": "kind IN ('extraction', 'verification', 'compaction') "
    "AND input ->> 'dataset_namespace' = ANY (%(visible)s::text[])",
    "dataset_name": "input ->> 'dataset_name' = %(dataset_name)s",
    "manifest_hash": "input ->> 'manifest_hash' = %(manifest_hash)s",
}


@dataclass(frozen=True)
class JobFilter:
    """What jobs have in common; None asks for nothing. ``states`` None means all of them; with ``due_only``
    those that wait are left out until their time has come.

    ``labels`` must all be there; ``product`` and ``env`` are labels, too. ``created_after`` counts itself,
    ``created_before`` does not. ``before_id`` is the page's cursor: jobs with smaller ids. ``visible`` are the
    namespaces outside of which there is nothing for whoever asks: only jobs of datasets are of a namespace.
    """

    states: frozenset[JobState] | None = None
    due_only: bool = False
    job_id: int | None = None
    job_ids: tuple[int, ...] | None = None
    before_id: int | None = None
    kind: str | None = None
    worker_id: str | None = None
    recurring: bool | None = None
    product: str | None = None
    env: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    created_after: datetime | None = None
    created_before: datetime | None = None
    dataset_namespace: str | None = None
    dataset_name: str | None = None
    manifest_hash: str | None = None
    visible: tuple[str, ...] | None = None

    def rows(self) -> LiteralString:
        """Return the SELECT that gives at most ``%(limit)s`` of the rows from the ``%(offset)s`` on, the newest first.

        Each state is read by itself, along its own index: a state that few jobs are in is found at once also where
        millions are in others. What a worker has at the moment is found by the worker, and so on with whatever is
        rarer than a state.
        """
        operation = self._operation()
        rows = self._rows(operation)
        # A product is rare, and has an index by its own name.
        if not self.labels or self.product is not None or self.job_id is not None or self.job_ids is not None:
            return rows
        if operation == "newest_jobs":
            return self._rows("newest_jobs_with_label")
        return self._rows("newest_jobs_with_rare_label").replace("{otherwise}", rows)

    def _rows(self, operation: str) -> LiteralString:
        names_states = operation in ("newest_jobs_in_states", "newest_jobs_of_worker", "newest_jobs_of_namespaces")
        wanted = self
        if operation == "newest_jobs_of_namespaces":
            # It names the namespaces itself: said twice, another index would seem to fit.
            namespace = self.dataset_namespace if self.dataset_name is not None else None
            wanted = replace(self, visible=None, dataset_namespace=namespace)
        return sql("jobs", operation).replace("{conditions}", wanted.conditions(states=not names_states))

    def conditions(self, *, states: bool = True) -> LiteralString:
        """Return the conditions of the filter, for a WHERE; those of the ``states`` only when they are asked for."""
        texts = [text for name, text in _CONDITIONS.items() if getattr(self, name) not in (None, {})]
        if self.recurring is not None:
            texts.append("recurring" if self.recurring else "NOT recurring")
        if self.due_only:
            texts.append("(state <> 'SCHEDULED' OR run_at <= now())")
        if self.states is not None and states:
            texts.append("state = ANY (%(states)s)")
        return " AND ".join(texts) or "true"

    def _operation(self) -> str:
        is_of_namespaces = self.visible is not None or (self.dataset_namespace and self.dataset_name is None)
        if is_of_namespaces and self.job_id is None and self.job_ids is None:
            return "newest_jobs_of_namespaces"
        if self.product is not None and self.job_ids is None:
            return "newest_jobs_of_product"
        if self.states is None or self.job_ids is not None or self.recurring:
            return "newest_jobs"
        return "newest_jobs_of_worker" if self.worker_id and self.states <= ACTIVE_STATES else "newest_jobs_in_states"

    @property
    def _namespaces(self) -> list[str]:
        """The namespaces outside of which there is nothing, of those that are asked for."""
        if self.dataset_namespace is None:
            return list(self.visible or ())
        return [self.dataset_namespace] if self.visible is None or self.dataset_namespace in self.visible else []

    @property
    def is_counted(self) -> bool:
        """Whether the database has counted the jobs of this filter: it asks for nothing but kind, states, and
        namespaces.
        """
        return replace(self, kind=None, states=None, dataset_namespace=None, visible=None) == JobFilter()

    def parameters(self) -> dict[str, Any]:
        """Return the values that go with :meth:`rows`, but for ``limit`` and ``offset``."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _CONDITIONS}
        label = min(self.labels.items(), default=(None, None))
        return values | {
            "label_key": label[0],
            "label_value": label[1],
            "namespaces": self._namespaces,
            "visible": None if self.visible is None else list(self.visible),
            "visible_states": sorted(JobState if self.states is None else self.states),
            "states": None if self.states is None else sorted(self.states),
            "job_ids": None if self.job_ids is None else list(self.job_ids),
            "labels": Jsonb(self.labels),
        }
