"""Cases of query plans: statistics, and lists of jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ampd.jobs import (
    ACTIVE_STATES,
    TERMINAL_STATES,
    JobFilter,
    JobState,
    fold_job_counts,
)
from support.many_jobs import (
    FAILED,
    FUTURE,
    JOBS,
    OLD_DATASET,
    RUNNING,
)
from support.query_plan_registry import (
    CASES,
    LISTED,
    Case,
    reads,
)
from support.query_plans import Engine

# Statistics of what is counted read the counts, and the jobs of the future.
COUNTS = 400


@reads(job_statistics_by_counts=COUNTS + 2 * FUTURE)
async def counting_all_jobs(engine: Engine) -> None:
    assert (await engine.store.statistics(JobFilter())).total == JOBS


@reads(job_statistics_by_counts=COUNTS + 2 * FUTURE)
async def counting_the_active_jobs_of_some_namespaces(engine: Engine) -> None:
    found = await engine.store.limited_to(("team_3", "archive")).statistics(JobFilter(states=ACTIVE_STATES))
    assert 0 < found.total < JOBS


@reads(lock_retention=0, fold_job_counts=3 * COUNTS)
async def folding_what_sessions_have_counted(engine: Engine) -> None:
    await engine.connection.run("UPDATE jobs SET total_retries = 1 WHERE id = ANY (%s)", [*RUNNING])
    await fold_job_counts(engine.db)


# Lists of jobs.

FEW = frozenset({JobState.FAILED, JobState.RUNNING, JobState.STOPPING})
OF_OLD_DATASET: dict[str, Any] = {"dataset_namespace": OLD_DATASET[0], "dataset_name": OLD_DATASET[1]}
OF_DATASET: dict[str, Any] = {"dataset_namespace": "team_3", "dataset_name": "chain_3"}
# All jobs of a dataset are read to order them.
OLD = 1_000

# 2,000 jobs have the first one, none has the other one. To see how many there are, at most so many entries are read.
OFTEN, SELDOM = {"version": "1.0.7"}, {"version": "none"}
COUNTED = 2_501
RUN = frozenset({JobState.RUNNING})

LISTS: dict[str, tuple[JobFilter, int]] = {
    "of all sorts": (JobFilter(), LISTED),
    "of all sorts, from the middle": (JobFilter(before_id=500_000), LISTED),
    "active": (JobFilter(states=ACTIVE_STATES), 2 * LISTED),
    "active, from the middle": (JobFilter(states=ACTIVE_STATES, before_id=500_000), LISTED),
    "terminal": (JobFilter(states=TERMINAL_STATES), LISTED),
    "failed": (JobFilter(states=frozenset({JobState.FAILED})), LISTED),
    "failed, from the middle": (JobFilter(states=frozenset({JobState.FAILED}), before_id=300_000), LISTED),
    "completed, from the middle": (JobFilter(states=frozenset({JobState.COMPLETED}), before_id=500_000), LISTED),
    "in several states": (JobFilter(states=FEW), LISTED),
    "of an id": (JobFilter(job_id=500_000), 4),
    "of a dataset": (JobFilter(**OF_DATASET), LISTED),
    "of a dataset, active": (JobFilter(**OF_DATASET, states=ACTIVE_STATES), LISTED),
    "of a manifest": (JobFilter(**OF_DATASET, manifest_hash="0" * 64), 4),
    "of an old dataset": (JobFilter(**OF_OLD_DATASET), OLD + LISTED),
    "of an old dataset, active": (JobFilter(**OF_OLD_DATASET, states=ACTIVE_STATES), 5 * OLD + LISTED),
    "of an old dataset, terminal": (JobFilter(**OF_OLD_DATASET, states=TERMINAL_STATES), 3 * OLD + LISTED),
    "of some ids, failed": (JobFilter(job_ids=tuple(FAILED), states=frozenset({JobState.FAILED})), 5 * len(FAILED)),
    "of a product": (JobFilter(product="none"), 4),
    "of a product, active": (JobFilter(product="none", states=ACTIVE_STATES), 4),
    "with a timetable": (JobFilter(recurring=True), 4),
    "with a timetable, active": (JobFilter(recurring=True, states=ACTIVE_STATES), 4),
    "that a worker has": (JobFilter(worker_id="worker-07", states=ACTIVE_STATES), LISTED),
    "of a namespace": (JobFilter(dataset_namespace="team_3"), LISTED + 51 * len(JobState)),
    "of a namespace with one dataset, failed": (JobFilter(dataset_namespace="archive", states=FEW), LISTED + 51 * 3),
    "with a label that many have": (JobFilter(labels=OFTEN), LISTED + 51),
    "with a label that many have, running": (JobFilter(labels=OFTEN, states=RUN), 3 * COUNTED + LISTED),
    "with a label that few have": (JobFilter(labels=SELDOM), 4),
    "with a label that few have, completed": (JobFilter(labels=SELDOM, states=TERMINAL_STATES), 8),
}


def _list(wanted: JobFilter) -> Callable[[Engine], Awaitable[Any]]:
    async def act(engine: Engine) -> None:
        await engine.store.list_page(wanted, limit=50)

    return act


# For somebody who sees two namespaces, one with the jobs of an old dataset: a page of each state of each is read.
SEEN = ("team_3", "archive")
LIMITED: dict[str, tuple[JobFilter, int]] = {
    "all": (JobFilter(), len(SEEN) * len(JobState)),
    "active ones, from the middle": (
        JobFilter(states=ACTIVE_STATES, before_id=500_000),
        len(SEEN) * len(ACTIVE_STATES),
    ),
    "failed ones": (JobFilter(states=frozenset({JobState.FAILED})), len(SEEN)),
    "one by its id": (JobFilter(job_id=500_000), 1),
}


def _list_seen(wanted: JobFilter) -> Callable[[Engine], Awaitable[Any]]:
    async def act(engine: Engine) -> None:
        await engine.store.limited_to(SEEN).list_page(wanted, limit=50)

    return act


CASES |= {
    f"listing {name} for a limited token": Case(_list_seen(wanted), {"list_jobs": LISTED + 51 * pages})
    for name, (wanted, pages) in LIMITED.items()
}


@reads(list_jobs=COUNTED + 3 * len(RUNNING) + LISTED)
async def listing_running_jobs_with_a_label_that_very_many_have(engine: Engine) -> None:
    await engine.connection.run("INSERT INTO job_labels SELECT 'team', 'a', id FROM jobs WHERE id <= 10000")
    await engine.connection.run('UPDATE jobs SET labels = \'{"team": "a"}\' WHERE id = %s', RUNNING[-1])
    jobs, more = await engine.store.list_page(JobFilter(labels={"team": "a"}, states=RUN), limit=50)
    assert ([job.id for job in jobs], more) == ([RUNNING[-1]], False)


CASES |= {f"listing jobs {name}": Case(_list(wanted), {"list_jobs": most}) for name, (wanted, most) in LISTS.items()}
