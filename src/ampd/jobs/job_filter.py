"""Which jobs a list shows, and which ones an operation is about."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    "dataset_name": "input ->> 'dataset_name' = %(dataset_name)s",
    "manifest_hash": "input ->> 'manifest_hash' = %(manifest_hash)s",
}


@dataclass(frozen=True)
class JobFilter:
    """What jobs have in common; None asks for nothing. ``states`` None means all of them.

    ``labels`` must all be there; ``product`` and ``env`` are labels, too. ``created_after`` counts itself,
    ``created_before`` does not. ``before_id`` is the page's cursor: jobs with smaller ids.
    """

    states: frozenset[JobState] | None = None
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

    def rows(self) -> LiteralString:
        """Return the SELECT that gives at most ``%(limit)s`` of the rows from the ``%(offset)s`` on, the newest first.

        Each state is read by itself, along its own index: a state that few jobs are in is found at once also where
        millions are in others. What a worker has at the moment is found by the worker, and so on with whatever is
        rarer than a state.
        """
        operation = self._operation()
        names_states = operation in ("newest_jobs_in_states", "newest_jobs_of_worker")
        return sql("jobs", operation).replace("{conditions}", self.conditions(states=not names_states))

    def conditions(self, *, states: bool = True) -> LiteralString:
        """Return the conditions of the filter, for a WHERE; those of the ``states`` only when they are asked for."""
        texts = [text for name, text in _CONDITIONS.items() if getattr(self, name) not in (None, {})]
        if self.recurring is not None:
            texts.append("recurring" if self.recurring else "NOT recurring")
        if self.states is not None and states:
            texts.append("state = ANY (%(states)s)")
        return " AND ".join(texts) or "true"

    def _operation(self) -> str:
        if self.product is not None and self.job_ids is None:
            return "newest_jobs_of_product"
        if self.states is None or self.job_ids is not None or self.recurring:
            return "newest_jobs"
        return "newest_jobs_of_worker" if self.worker_id and self.states <= ACTIVE_STATES else "newest_jobs_in_states"

    def parameters(self) -> dict[str, Any]:
        """Return the values that go with :meth:`rows`, but for ``limit`` and ``offset``."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _CONDITIONS}
        return values | {
            "states": None if self.states is None else sorted(self.states),
            "job_ids": None if self.job_ids is None else list(self.job_ids),
            "labels": Jsonb(self.labels),
        }
