"""The choice of workers against one that any reader can check: for each job, look at every worker once more."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampd.jobs.placement import DueJob, FreeWorker, choose_workers, matches

# Names that are beginnings of each other, and differ in case, in length and in what follows the same letter.
NAMES: Final = ("a", "a-1", "a-10", "a-2", "a.b", "A", "b", "ba", "eu-west_1", "eu-west_10", "z")
SELECTORS: Final = (None, *NAMES, "nobody", "*", "a*", "a-*", "a-1*", "A*", "eu*", "eu-west_1*", "nobody*")
KINDS: Final = ("extraction", "http", "report")
PROFILE: Final = settings(max_examples=200, deadline=None)


@st.composite
def workers(draw: st.DrawFn) -> list[FreeWorker]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6))
    slots = [draw(st.integers(1, 7)) for _ in names]
    kinds = st.none() | st.frozensets(st.sampled_from(KINDS))
    return [
        FreeWorker(name, UUID(int=i), slots[i], draw(st.integers(0, slots[i])), draw(kinds))
        for i, name in enumerate(names)
    ]


@st.composite
def due_jobs(draw: st.DrawFn) -> list[DueJob]:
    selectors = draw(st.lists(st.sampled_from(SELECTORS), max_size=30))
    ids = draw(st.permutations(range(len(selectors))))
    kinds = [draw(st.sampled_from(KINDS)) for _ in selectors]
    return [DueJob(*each) for each in zip(ids, selectors, kinds, strict=True)]


def fits(selector: str | None, name: str) -> bool:
    if selector is None:
        return True
    if selector[-1] == "*":
        return name[: len(selector) - 1] == selector[:-1]
    return name == selector


def runs(job: DueJob, worker: FreeWorker) -> bool:
    return fits(job.selector, worker.node_id) and (worker.kinds is None or job.kind in worker.kinds)


def one_by_one(jobs: list[DueJob], workers: list[FreeWorker]) -> list[tuple[int, str]]:
    """Each job in its turn goes to the worker with the least share of its slots taken, then the first by name."""
    held = {worker.node_id: worker.held for worker in workers}
    placed = []
    for job in jobs:
        fitting = [each for each in workers if runs(job, each) and held[each.node_id] < each.slots]
        if fitting:
            best = min(fitting, key=lambda each: (Fraction(held[each.node_id], each.slots), each.node_id))
            held[best.node_id] += 1
            placed.append((job.id, best.node_id))
    return placed


@PROFILE
@given(due_jobs(), workers())
def test_jobs_go_where_one_look_at_all_workers_for_each_of_them_would_send_them(
    jobs: list[DueJob], workers: list[FreeWorker]
) -> None:
    chosen = choose_workers(jobs, workers)
    assert [(job.id, worker.node_id) for job, worker in chosen] == one_by_one(jobs, workers)


@PROFILE
@given(due_jobs(), workers())
def test_nobody_gets_more_than_its_slots_and_no_job_goes_twice_or_out_of_turn(
    jobs: list[DueJob], workers: list[FreeWorker]
) -> None:
    chosen = choose_workers(jobs, workers)
    given_to = Counter(worker.node_id for _, worker in chosen)
    assert all(worker.held + given_to[worker.node_id] <= worker.slots for worker in workers)
    placed = [job.id for job, _ in chosen]
    assert placed == [job.id for job in jobs if job.id in set(placed)]
    assert all(runs(job, worker) for job, worker in chosen)
    assert all(worker in workers for _, worker in chosen)


@PROFILE
@given(due_jobs(), workers())
def test_a_job_is_left_out_only_when_every_worker_that_fits_is_full_in_the_end(
    jobs: list[DueJob], workers: list[FreeWorker]
) -> None:
    chosen = choose_workers(jobs, workers)
    placed = {job.id for job, _ in chosen}
    given_to = Counter(worker.node_id for _, worker in chosen)
    for job in jobs:
        if job.id not in placed:
            fitting = [each for each in workers if runs(job, each)]
            assert all(each.held + given_to[each.node_id] == each.slots for each in fitting)


@PROFILE
@given(due_jobs(), workers(), st.randoms())
def test_the_order_in_which_the_workers_are_listed_does_not_matter(
    jobs: list[DueJob], workers: list[FreeWorker], chance: random.Random
) -> None:
    shuffled = list(workers)
    chance.shuffle(shuffled)
    assert choose_workers(jobs, shuffled) == choose_workers(jobs, workers)


@given(st.sampled_from(SELECTORS), st.sampled_from(NAMES))
def test_a_selector_is_nothing_a_name_or_the_beginning_of_names(selector: str | None, name: str) -> None:
    assert matches(selector, name) is fits(selector, name)


@pytest.mark.parametrize(("jobs", "slots"), [(5_000, (1, 10, 100, 1_000)), (1_000, (1_000,) * 4)])
def test_many_jobs_are_spread_by_the_share_of_the_slots(jobs: int, slots: tuple[int, ...]) -> None:
    """As many as a placement of a busy cluster has: every worker ends with the same share of its slots taken."""
    workers = [FreeWorker(f"w{number}", UUID(int=number), count, 0) for number, count in enumerate(slots)]
    chosen = choose_workers([DueJob(id, None, "report") for id in range(jobs)], workers)
    assert len(chosen) == min(jobs, sum(slots))
    given_to = Counter(worker.node_id for _, worker in chosen)
    shares = {Fraction(given_to[each.node_id], each.slots) for each in workers}
    assert len(shares) == 1
