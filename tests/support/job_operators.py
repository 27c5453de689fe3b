"""The operators of the state machine of the job engine: they deploy jobs and ask things of them, and drain workers."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from ampd.errors import ErrorCode
from ampd.jobs import (
    BulkResult,
    Dependency,
    Deployment,
    Job,
    JobFilter,
    Operation,
    Transition,
    Worker,
    parse_states,
)
from support.job_machine import JobMachine
from support.job_model import ModelJob, answer_to, obey

NODES: Final = ("w1", "w2")
SELECTORS: Final = (None, "w1", "w*")
# What a deploy depends on: mostly nothing; a job by its number among the known ones, or by its key.
WORDS: Final = st.lists(st.sampled_from(("0", "1", "2", "3", "a", "b", "c", "d")), unique=True, min_size=1, max_size=2)
_REASONS: Final = {Operation.CANCEL: "no use for it", Operation.PAUSE: "maintenance"}
DEPENDENCIES: Final[st.SearchStrategy[list[str]]] = st.one_of(st.just([]), st.just([]), WORDS)


class JobOperators(JobMachine):
    """Each rule is what one operator does."""

    @rule(
        key=st.sampled_from("abcd"),
        version=st.integers(1, 2),
        selector=st.sampled_from(SELECTORS),
        retries=st.sampled_from((None, 1)),
        words=DEPENDENCIES,
    )
    def deploy(self, key: str, version: int, selector: str | None, retries: int | None, words: Sequence[str]) -> None:
        known, options = self.model.of_key(key), (version, selector)
        dependencies = self._dependencies(words)
        deployment = Deployment(
            "noop", key, {"version": version}, worker_selector=selector, retries=retries, depends_on=dependencies
        )
        refusal = self._refusal_of(key, known, (options, retries), dependencies)
        touches = self._ids_to_come() if known is None else {known.id}
        before, answer = self._step(
            lambda: self._told(self.store.deploy(deployment, actor="operator")), touches=touches
        )
        if refusal is not None or (known is not None and not known.allows(Transition.DEPLOY)):
            assert (answer if isinstance(answer, ErrorCode) else answer.id) == (refusal or (known and known.id))
            assert before == self.rows
        else:
            assert isinstance(answer, Job)
            execution, epoch = (1, 0) if known is None else (known.execution + 1, known.epoch)
            assert known is None or answer.id == known.id
            self.model.jobs[answer.id] = ModelJob(
                answer.id, key, options, retries, execution=execution, epoch=epoch,
                depends_on=dependencies, is_met=self.model.are_met(dependencies),
            )  # fmt: skip
        self._agree()

    def _dependencies(self, words: Sequence[str]) -> tuple[Dependency, ...]:
        ids = self.known_ids() or [4711]
        found = []
        for word in words:
            job_id = ids[int(word) % len(ids)] if word.isdecimal() else None
            found.append(
                Dependency(f"set/{word}", key=word) if job_id is None else Dependency(str(job_id), job_id=job_id)
            )
        return tuple(dict.fromkeys(found))

    def _refusal_of(
        self, key: str, known: ModelJob | None, options: object, dependencies: tuple[Dependency, ...]
    ) -> ErrorCode | None:
        if any(self.model.is_unknown(each) for each in dependencies):
            return ErrorCode.DEPENDENCY_NOT_FOUND
        if known is not None and not known.allows(Transition.DEPLOY):
            same = ((known.options, known.retries), set(known.depends_on)) == (options, set(dependencies))
            return None if same else ErrorCode.ACTIVE_JOB_CONFLICT
        circle = self.model.would_wait_for_itself(key, dependencies)
        return ErrorCode.DEPENDENCY_CYCLE if circle else None

    def _ids_to_come(self) -> set[int]:
        """A deploy that finds its job, or is refused, uses up an id too, so that the next one is not known."""
        newest = max(self.known_ids(), default=0)
        return set(range(newest + 1, newest + 100))

    @precondition(lambda self: self.known_ids())
    @rule(which=st.integers(0, 20), operation=st.sampled_from((*Operation, Operation.CANCEL)), later=st.booleans())
    def ask(self, which: int, operation: Operation, later: bool) -> None:
        """An operator asks something of one job that there is, or was; ``later``: a retry in an hour, not at once."""
        job_id = self.known_ids()[which % len(self.known_ids())]
        job = self.model.jobs.get(job_id)
        before, answer = self._step(lambda: self._told(self._asking(job_id, operation, later)), touches={job_id})
        told = None if job is None else answer_to(job, operation)
        if job is None:
            assert answer is (False if operation is Operation.DELETE else ErrorCode.JOB_NOT_FOUND)
        elif told is False:
            assert answer is ErrorCode.JOB_CONFLICT
        elif told:
            obey(self.model, job, operation, reason=_REASONS.get(operation), later=later)
        if not told:
            assert before == self.rows
        if job is not None and told is not False:
            assert (answer if isinstance(answer, bool | ErrorCode) else answer.state) == (
                True if operation is Operation.DELETE else job.state
            )
        self._agree()

    def _asking(self, job_id: int, operation: Operation, later: bool) -> Coroutine[Any, Any, Job | bool]:
        match operation:
            case Operation.CANCEL:
                return self.store.request_stop(job_id, actor="operator", reason=_REASONS[operation])
            case Operation.PAUSE:
                return self.store.pause(job_id, actor="operator", reason=_REASONS[operation])
            case Operation.RESUME:
                return self.store.resume(job_id, actor="operator")
            case Operation.RETRY:
                return self.store.retry(job_id, actor="operator", delay_seconds=3600.0 * later)
            case Operation.DELETE:
                return self.store.delete(job_id, actor="operator")

    def ask_one(self, job_id: int, operation: Operation) -> None:
        self.ask(self.known_ids().index(job_id), operation, False)

    @precondition(lambda self: self.known_ids())
    @rule(
        operation=st.sampled_from(Operation),
        states=st.sampled_from((None, "active", "scheduled,paused", "failed,stopped", "running")),
        dry_run=st.sampled_from((False, False, True)),
    )
    def ask_many(self, operation: Operation, states: str | None, dry_run: bool) -> None:
        """The same of all jobs in some states: what is refused of one is skipped."""
        wanted = JobFilter(states=None if states is None else parse_states(states))
        jobs = [job for job in self.model.jobs.values() if wanted.states is None or job.state in wanted.states]
        changing = [job for job in jobs if answer_to(job, operation)]
        asking = self.store.change_many(
            operation, wanted, actor="operator", reason=_REASONS.get(operation), dry_run=dry_run
        )
        before, answer = self._step(lambda: self._await(asking), touches={job.id for job in changing})
        assert answer == BulkResult(len(jobs), len(changing))
        if dry_run:
            assert before == self.rows
        else:
            for job in changing:
                obey(self.model, job, operation, reason=_REASONS.get(operation), later=False)
        self._agree()

    @rule(name=st.sampled_from((*NODES, "w3")), cordoned=st.booleans())
    def cordon(self, name: str, cordoned: bool) -> None:
        """Keep work away from a worker, dead or alive, or let it come again."""
        node = self.model.nodes.get(name)
        before, answer = self._step(lambda: self._told(self.workers.set_cordoned(name, cordoned=cordoned)))
        if node is None:
            assert answer is ErrorCode.WORKER_NOT_FOUND
            assert before == self.rows
        else:
            assert isinstance(answer, Worker)
            node.cordoned = cordoned
            alive = node.beating == node.registered and node.fresh
            assert (answer.draining, answer.live) == (node.draining or cordoned, alive)
        self._agree()
