"""What the job engine does, with the statements that it executes, all of them, and the most rows that each may read: a
small multiple of what it is about, where there are a million jobs (``many_jobs.py``).
"""

from __future__ import annotations

import asyncio

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    AttemptStore,
    Completed,
    Dependency,
    Deployment,
    JobCreator,
    JobFilter,
    JobState,
    NewJob,
    Operation,
    Transition,
    WorkerStore,
    claim_jobs,
    expire_events,
    expire_jobs,
    force_overdue_stops,
    hold_lease,
    note_success,
    release_all_dependents,
    rescue_jobs_of_lost_workers,
)
from ampd.jobs.bulk import PORTION
from ampd.jobs.placement import assign_due_jobs
from ampd.jobs.transition import Change, apply_transitions
from support.many_jobs import (
    ASSIGNED,
    AWAITED,
    DAYS,
    DEPENDENT,
    FAILED,
    HELD,
    OVERDUE,
    RESTLESS,
    RUNNING,
    SLOTS,
    STOP_REQUESTED,
    STOPPED,
    STOPPING,
    WORKERS,
    lease_of,
    worker,
)
from support.query_plan_registry import (
    ASSIGN,
    DELETE,
    FREE,
    LISTED,
    PAGE,
    RETRY,
    STARTED,
    TRANSITION,
    UNASSIGN,
    WORKERS_AND_HELD,
    reads,
)
from support.query_plans import LEASE_SECONDS, Engine

# Placement.

# Of each lane (priority, selector and kind) with due jobs for a free worker at most as many are read as there are free
# slots. Before that, for each lane, free workers until one fits.
LANES = 60
PLACE = {"lock_placement": 0, "list_free_workers": WORKERS_AND_HELD, "list_due_jobs": 9 * FREE + 3 * LANES}


@reads(**PLACE, assign_jobs=ASSIGN * FREE)
async def placing_as_many_jobs_as_there_are_free_slots(engine: Engine) -> None:
    assert len(await assign_due_jobs(engine.connection, lease_seconds=LEASE_SECONDS)) == FREE


@reads(**PLACE | {"list_due_jobs": 4 * LANES}, assign_jobs=ASSIGN)
async def placing_one_job(engine: Engine) -> None:
    await leave_one_slot(engine)
    assert len(await assign_due_jobs(engine.connection, lease_seconds=LEASE_SECONDS)) == 1


@reads(**PLACE, assign_jobs=ASSIGN * FREE)
async def placing_behind_3000_jobs_for_a_worker_that_is_away(engine: Engine) -> None:
    await _bind_3000_jobs_to_a_worker_that_is_away(engine)
    # Of the first jobs some are for a worker that the others have filled.
    assert len(await assign_due_jobs(engine.connection, lease_seconds=LEASE_SECONDS)) > 500


@reads(**PLACE | {"list_due_jobs": 4 * LANES}, assign_jobs=ASSIGN)
async def placing_one_job_behind_3000_for_a_worker_that_is_away(engine: Engine) -> None:
    await leave_one_slot(engine)
    await _bind_3000_jobs_to_a_worker_that_is_away(engine)
    assert len(await assign_due_jobs(engine.connection, lease_seconds=LEASE_SECONDS)) == 1


@reads(**PLACE, assign_jobs=ASSIGN * FREE, transition=TRANSITION * SLOTS, load_started_jobs=STARTED * SLOTS)
async def claiming(engine: Engine) -> None:
    claim = await claim_jobs(engine.db, worker(7), lease_seconds=LEASE_SECONDS)
    assert claim.started
    assert len(claim.started) + len(claim.placed_elsewhere) == FREE


async def leave_one_slot(engine: Engine) -> None:
    held = "(SELECT count(*) FROM jobs WHERE worker_id = node_id AND worker_incarnation IS NOT NULL)"
    await engine.connection.run(f"UPDATE workers SET slots = {held} + CASE node_id WHEN 'worker-07' THEN 1 ELSE 0 END")


async def _bind_3000_jobs_to_a_worker_that_is_away(engine: Engine) -> None:
    """They are the newest ones: what these rows were before stands in nobody's way."""
    bound = await engine.connection.run(
        "UPDATE jobs SET worker_selector = 'away', priority = 1000 WHERE id IN ("
        "SELECT id FROM jobs WHERE state = 'SCHEDULED' AND id > %s AND run_at <= now() ORDER BY id DESC LIMIT 3000)"
        " RETURNING id",
        DEPENDENT[-1],
    )
    assert len(bound) == 3_000


# What a worker writes.


@reads(transition=TRANSITION, load_started_jobs=STARTED)
async def starting_one_job(engine: Engine) -> None:
    assert await engine.leased.start(lease_of(ASSIGNED[0])) is not None


@reads(**PLACE, assign_jobs=ASSIGN * FREE, transition=TRANSITION * 500, load_started_jobs=STARTED * 500)
async def starting_500_jobs(engine: Engine) -> None:
    leases = await assign_due_jobs(engine.connection, lease_seconds=LEASE_SECONDS)
    leased = engine.leased
    assert None not in await asyncio.gather(*(leased.start(lease) for lease in leases[:500]))


@reads(list_recurring=2, transition=TRANSITION, share_dependency_graph=0, lock_dependents=6, release_dependents=20)
async def completing_one_job(engine: Engine) -> None:
    assert await engine.leased.complete(lease_of(RUNNING[7]))


@reads(
    list_recurring=2,
    transition=TRANSITION,
    share_dependency_graph=0,
    lock_dependents=3 * 300,
    release_dependents=6 * 300,
)
async def completing_a_job_that_300_wait_for(engine: Engine) -> None:
    assert await engine.leased.complete(lease_of(AWAITED))
    (row,) = await engine.connection.run(
        "SELECT count(*) AS met FROM jobs WHERE id = ANY (%s) AND dependencies_met", [*DEPENDENT]
    )
    assert row["met"] == 300


@reads(
    list_recurring=2 * 500,
    transition=TRANSITION * 500,
    share_dependency_graph=0,
    lock_dependents=6 * 500,
    release_dependents=8 * len(DEPENDENT),
)
async def completing_500_jobs(engine: Engine) -> None:
    leased = engine.leased
    assert all(await asyncio.gather(*(leased.complete(lease_of(job_id)) for job_id in RUNNING)))


@reads(list_recurring=2 * 500, load_jobs=500, transition=TRANSITION * 500)
async def failing_500_jobs_of_which_some_are_tried_again(engine: Engine) -> None:
    leased = engine.leased
    errors = [AmpError(ErrorCode.INTERNAL_ERROR, "no", recoverable=job_id % 3 == 0) for job_id in RUNNING]
    leases = [lease_of(job_id) for job_id in RUNNING]
    assert all(await asyncio.gather(*(leased.fail(*each) for each in zip(leases, errors, strict=True))))


@reads(unassign_jobs=UNASSIGN * len(ASSIGNED))
async def handing_back_what_was_assigned(engine: Engine) -> None:
    leased = engine.leased
    assert all(await asyncio.gather(*(leased.unassign(lease_of(job_id)) for job_id in ASSIGNED)))


@reads(lock_lease=1, note_success=1, report_progress=2, read_progress=2)
async def getting_on_with_a_job(engine: Engine) -> None:
    lease = lease_of(RUNNING[3])
    await hold_lease(engine.connection, lease)
    await note_success(engine.connection, lease)
    assert await engine.leased.report_progress(lease, {"end_block": 7})
    assert await engine.leased.last_progress(lease) == {"end_block": 7}
    assert await engine.store.last_progress(RUNNING[3]) == {"end_block": 7}


@reads(
    list_recurring=2 * 3,
    transition=TRANSITION * 4,
    share_dependency_graph=0,
    lock_dependents=18,
    release_dependents=60,
    keep_results=8 * 3,
)
async def completing_three_jobs_with_results(engine: Engine) -> None:
    leased, leases = engine.leased, [lease_of(job_id) for job_id in RUNNING[:3]]
    assert all(await asyncio.gather(*(leased.complete(each, Completed({"n": 1})) for each in leases)))


@reads(describe_attempt=6, save_checkpoint=3)
async def going_on_with_an_attempt(engine: Engine) -> None:
    attempts = AttemptStore(engine.db)
    lease = lease_of(RUNNING[3])
    await attempts.save_checkpoint(lease, [7])
    assert (await attempts.describe(lease)).checkpoint == [7]


# What an operator asks for.


@reads(insert_job=6, find_created_job=1, set_dependencies=1)
async def creating_a_job_twice(engine: Engine) -> None:
    creator = JobCreator(engine.db, notifier=engine.notifier)
    new = NewJob("noop", {}, "hash", secrets=[[["key"], "value"]], idempotency_key="once")
    job_id, is_new = await creator.create(new, actor="test")
    assert (await creator.create(new, actor="test"), is_new) == ((job_id, False), True)


@reads(lock_job=1, transition=TRANSITION, list_jobs=LISTED)
async def stopping_one_job(engine: Engine) -> None:
    assert (await engine.store.request_stop(RUNNING[3], actor="test")).state is JobState.STOP_REQUESTED


@reads(transition=TRANSITION * 500)
async def stopping_500_jobs(engine: Engine) -> None:
    changes = [Change(job_id, "test") for job_id in RUNNING]
    assert len(await apply_transitions(engine.connection, Transition.REQUEST_STOP, changes)) == 500


@reads(
    lock_dependency_graph=0,
    lock_dependencies=4 * 10,
    insert_job=4,
    set_dependencies=2 * 10,
    depends_on_itself=10 * 10,
    list_jobs=10 * 4 + WORKERS,
)
async def deploying_a_job_that_waits_for_ten(engine: Engine) -> None:
    ids = [Dependency(str(job_id), job_id=job_id) for job_id in (*RUNNING[:4], DEPENDENT[-1])]
    keys = [Dependency(f"key {number}", key=f"noop:{number}") for number in range(101, 106)]
    job = await engine.store.deploy(Deployment("noop", "new", {}, depends_on=(*ids, *keys)), actor="test")
    assert job.waiting_for == "dependency"


@reads(insert_job=4, lock_job_by_key=1, redeploy_job=6, set_dependencies=1, list_jobs=LISTED)
async def deploying_a_job_that_has_ended(engine: Engine) -> None:
    job = await engine.store.deploy(Deployment("noop", "noop:101", {}), actor="test")
    assert (job.id, job.execution_number) == (101, 2)


@reads(
    list_jobs=LISTED, lock_dependency_graph=0, lock_dependencies=4, insert_job=4, lock_job_by_key=1, list_dependencies=1
)
async def deploying_a_job_that_waits_already(engine: Engine) -> None:
    job = await engine.store.get(DEPENDENT[1])
    again = Deployment(
        kind=job.kind,
        idempotency_key=f"noop:{job.id}",
        input=job.input,
        worker_selector=job.worker_selector,
        priority=job.priority,
        depends_on=(Dependency("awaited", job_id=AWAITED),),
    )
    assert (await engine.store.deploy(again, actor="test")).id == job.id


@reads(lock_job=2, transition=TRANSITION, list_jobs=LISTED)
async def pausing_one_job_and_resuming_it(engine: Engine) -> None:
    job_id = DEPENDENT[3]
    assert (await engine.store.pause(job_id, actor="test")).state is JobState.PAUSED
    assert (await engine.store.resume(job_id, actor="test")).state is JobState.SCHEDULED


@reads(lock_job=2, retry_jobs=RETRY, hasten_retries=4, list_jobs=LISTED)
async def retrying_one_job_and_having_it_retried_sooner(engine: Engine) -> None:
    # Those whose number divides by four have retries behind them.
    job_id = next(job_id for job_id in FAILED if job_id % 4 == 0)
    assert (await engine.store.retry(job_id, actor="test", delay_seconds=60)).execution_number == 2
    assert (await engine.store.retry(job_id, actor="test")).lifecycle == "queued"


@reads(list_executions=8, count_executions=4)
async def reading_the_executions_of_a_job(engine: Engine) -> None:
    history = await engine.store.history(FAILED[0], limit=50)
    assert (history.total, history.failed, len(history.executions)) == (1, 1, 1)


@reads(lock_job=1, remove_jobs=DELETE)
async def deleting_one_job(engine: Engine) -> None:
    assert await engine.store.delete(FAILED[0], actor="test")


# Of many jobs, chosen and then locked and changed in portions.
CHOSEN = 6


@reads(
    highest_job_id=1,
    choose_jobs=CHOSEN * PORTION,
    lock_jobs=PORTION,
    remove_jobs=DELETE * PORTION,
)
async def deleting_the_jobs_in_a_state_that_few_are_in(engine: Engine) -> None:
    deleted = await engine.store.delete_in_states([JobState.FAILED, JobState.STOPPED], actor="test")
    assert deleted == len(FAILED) + len(STOPPED)


@reads(highest_job_id=1, choose_jobs=CHOSEN * PORTION, lock_jobs=PORTION, remove_jobs=DELETE * PORTION)
async def deleting_portions_of_the_jobs_in_a_state_that_most_are_in(engine: Engine) -> None:
    wanted = JobFilter(states=frozenset({JobState.COMPLETED}), before_id=2_500)
    assert (await engine.store.change_many(Operation.DELETE, wanted, actor="test")).changed > 2_400


@reads(
    highest_job_id=1,
    choose_jobs=CHOSEN * PORTION,
    lock_jobs=PORTION,
    transition=TRANSITION * PORTION,
)
async def pausing_the_jobs_of_a_product_among_all_others(engine: Engine) -> None:
    ids = [*RUNNING[:200], *DEPENDENT[:400], *FAILED[:100]]
    await engine.connection.run('UPDATE jobs SET labels = \'{"product": "rare"}\' WHERE id = ANY (%s)', ids)
    result = await engine.store.change_many(Operation.PAUSE, JobFilter(product="rare"), actor="test")
    assert (result.matched, result.changed) == (700, 600)


@reads(highest_job_id=1, choose_jobs=CHOSEN * PORTION, lock_jobs=PORTION, retry_jobs=RETRY * PORTION)
async def retrying_all_jobs_that_have_failed(engine: Engine) -> None:
    wanted = JobFilter(states=frozenset({JobState.FAILED}))
    assert (await engine.store.change_many(Operation.RETRY, wanted, actor="test")).changed == len(FAILED)


@reads(list_events=PAGE, get_event=1)
async def reading_a_long_history(engine: Engine) -> None:
    events, more = await engine.store.events(RESTLESS[0], limit=50)
    assert (len(events), more) == (50, True)
    later, _ = await engine.store.events(RESTLESS[0], limit=50, after_id=events[-1].id + 5_000)
    assert (await engine.store.event(RESTLESS[0], later[7].id)) == later[7]


@reads(list_newest_events=PAGE)
async def reading_a_long_history_from_its_end(engine: Engine) -> None:
    events, _ = await engine.store.events(RESTLESS[0], limit=50, newest_first=True)
    older, more = await engine.store.events(RESTLESS[0], limit=50, after_id=events[-1].id, newest_first=True)
    assert (len(older), more) == (50, True)
    assert older[0].id < events[-1].id < events[0].id


@reads(list_events=PAGE)
async def looking_for_news_of_a_job(engine: Engine) -> None:
    events, _ = await engine.store.events(RUNNING[250], limit=50)
    assert await engine.store.events(RUNNING[250], limit=50, after_id=events[-1].id) == ([], False)


@reads(list_workers=WORKERS_AND_HELD, set_cordoned=WORKERS)
async def looking_at_workers(engine: Engine) -> None:
    store = WorkerStore(engine.db, lease_seconds=LEASE_SECONDS, notifier=engine.notifier)
    workers = await store.list_all()
    assert sum(each.running_jobs for each in workers) == HELD - len(ASSIGNED)
    assert (await store.set_cordoned("worker-07", cordoned=True)).draining


# What the controller sees to.


@reads(lock_jobs_with_worker=2 * HELD + 3 * WORKERS)
async def looking_for_lost_jobs_when_there_are_none(engine: Engine) -> None:
    assert await rescue_jobs_of_lost_workers(engine.db, lease_seconds=LEASE_SECONDS, actor="test") == []


@reads(
    lock_jobs_with_worker=4 * HELD,
    list_lost_jobs=2 * HELD + 2 * WORKERS,
    unassign_jobs=UNASSIGN * len(ASSIGNED),
    transition=TRANSITION * HELD,
)
async def rescuing_the_jobs_of_all_workers_at_once(engine: Engine) -> None:
    assert len(await rescue_jobs_of_lost_workers(engine.db, lease_seconds=0, actor="test")) == HELD


@reads(lock_overdue_stops=3 * (len(STOP_REQUESTED) + len(STOPPING)), transition=TRANSITION * 2 * OVERDUE)
async def forcing_overdue_stops(engine: Engine) -> None:
    assert len(await force_overdue_stops(engine.db, actor="test")) == 2 * OVERDUE


@reads(lock_all_dependents=len(DEPENDENT), release_dependents=8 * len(DEPENDENT))
async def looking_after_all_jobs_that_wait_for_others(engine: Engine) -> None:
    assert await release_all_dependents(engine.db) == []


@reads(lock_retention=0, expire_events=4 * 5000)
async def expiring_events(engine: Engine) -> None:
    assert await expire_events(engine.db, days=DAYS - 0.135) > 5000
    assert await expire_events(engine.db, days=DAYS + 1) == 0


@reads(lock_retention=0, expire_jobs=10 * 5000)
async def expiring_jobs(engine: Engine) -> None:
    assert await expire_jobs(engine.db, days=DAYS - 1, actor="test") > 5000


# What the heartbeat of a worker executes, on a connection of its own.
SESSION = {
    "take_name_lock": 0,
    "lock_name": 0,
    "register_worker": 3,
    "beat": 3 * WORKERS + 3 * SLOTS,
    "set_draining": WORKERS,
    "retire_worker": WORKERS,
}
# They read no table; or they are parts of list_jobs.
NOT_GUARDED = {"notify", "newest_jobs", "newest_jobs_in_states", "newest_jobs_of_worker", "newest_jobs_of_product"}
NOT_GUARDED |= {"newest_jobs_of_namespaces"}
NOT_GUARDED |= {"newest_jobs_with_label", "newest_jobs_with_rare_label"}
# What counts jobs by any filter may read all of them.
NOT_GUARDED |= {"job_statistics"}
NOT_GUARDED |= {"waits_for_time", "waits_for_worker"}
# What metrics tell of jobs reads all that wait, seldom: ampd.admin_api.cluster_figures.
NOT_GUARDED |= {"job_figures"}
