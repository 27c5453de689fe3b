"""The states of a job and the one table of its transitions (design section 4.2).

Everything that moves a job asks this table: the stores pass its rows to the SQL, the API's 409 answers follow from it,
and the tests walk through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from itertools import product
from typing import Final, NamedTuple

from ampd.errors import AmpError, ErrorCode


class JobState(StrEnum):
    """Where a job stands. Terminal states are left only by a new deploy."""

    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    STOP_REQUESTED = "STOP_REQUESTED"
    STOPPING = "STOPPING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


class StopIntent(StrEnum):
    """What becomes of a job whose stop is under way, once its worker has finished what it held."""

    STOP = "STOP"  # it ends
    PAUSE = "PAUSE"  # it is set aside
    NEXT = "NEXT"  # it goes on: with its next attempt, or, when it has a timetable, with its next execution


class Transition(StrEnum):
    """What can happen to a job."""

    DEPLOY = "deploy"  # an operator deploys again
    RETRY_BY_OPERATOR = "retry_by_operator"  # an operator has it run again, or sooner
    START = "start"  # the assigned worker begins
    COMPLETE = "complete"  # the handler is done
    RETRY = "retry"  # the handler failed, another try may help
    FAIL = "fail"  # the handler failed for good
    FINISH_EXECUTION = "finish_execution"  # an execution of a job with a timetable has ended, well or badly
    EXHAUST = "exhaust"  # a timetable has no time to come
    REQUEST_STOP = "request_stop"  # an operator asks for the end
    REQUEST_PAUSE = "request_pause"  # an operator sets it aside
    REQUEST_NEXT = "request_next"  # the timetable asks for the end of an execution, not of the job
    RESUME = "resume"  # an operator lets it go on
    ACKNOWLEDGE_STOP = "acknowledge_stop"  # the worker heard it
    STOP = "stop"  # the worker has finished what it held
    FORCE_STOP = "force_stop"  # the worker has not finished in the time it had
    HAND_BACK = "hand_back"  # a draining worker gives the job up
    LOSE_WORKER = "lose_worker"  # the worker died or was replaced


class Standing(NamedTuple):
    """Where a job stands: its state and, exactly while a stop is under way, what becomes of it then."""

    state: JobState
    intent: StopIntent | None = None


class Move(NamedTuple):
    """One row of the table for a transition; ``intent`` None stands for every one."""

    source: JobState
    intent: StopIntent | None
    target: JobState


_S, _T, _I = JobState, Transition, StopIntent
# A stop is under way.
STOP_STATES: Final = frozenset({_S.STOP_REQUESTED, _S.STOPPING})
# What asks for a stop says what becomes of the job.
INTENTS: Final = {
    _T.REQUEST_STOP: _I.STOP,
    _T.REQUEST_PAUSE: _I.PAUSE,
    _T.REQUEST_NEXT: _I.NEXT,
    _T.RESUME: _I.NEXT,
}
# And where it leads when no completion and no failure has come first.
STOP_ENDS: Final = {_I.STOP: _S.STOPPED, _I.PAUSE: _S.PAUSED, _I.NEXT: _S.SCHEDULED}

# While no stop is under way.
_PLAIN: Final[dict[tuple[JobState, Transition], JobState]] = {
    (_S.COMPLETED, _T.DEPLOY): _S.SCHEDULED,
    (_S.STOPPED, _T.DEPLOY): _S.SCHEDULED,
    (_S.FAILED, _T.DEPLOY): _S.SCHEDULED,
    (_S.STOPPED, _T.RETRY_BY_OPERATOR): _S.SCHEDULED,
    (_S.FAILED, _T.RETRY_BY_OPERATOR): _S.SCHEDULED,
    (_S.SCHEDULED, _T.START): _S.RUNNING,
    (_S.RUNNING, _T.COMPLETE): _S.COMPLETED,
    (_S.RUNNING, _T.RETRY): _S.SCHEDULED,
    (_S.RUNNING, _T.FAIL): _S.FAILED,
    (_S.RUNNING, _T.FINISH_EXECUTION): _S.SCHEDULED,
    (_S.SCHEDULED, _T.EXHAUST): _S.COMPLETED,
    (_S.RUNNING, _T.HAND_BACK): _S.SCHEDULED,
    (_S.RUNNING, _T.LOSE_WORKER): _S.SCHEDULED,
    # Nobody holds anything yet: the stop is done at once, also for a job that waits to retry.
    (_S.SCHEDULED, _T.REQUEST_STOP): _S.STOPPED,
    (_S.PAUSED, _T.REQUEST_STOP): _S.STOPPED,
    (_S.SCHEDULED, _T.REQUEST_PAUSE): _S.PAUSED,
    (_S.PAUSED, _T.RESUME): _S.SCHEDULED,
    (_S.RUNNING, _T.REQUEST_STOP): _S.STOP_REQUESTED,
    (_S.RUNNING, _T.REQUEST_PAUSE): _S.STOP_REQUESTED,
    (_S.RUNNING, _T.REQUEST_NEXT): _S.STOP_REQUESTED,
}
# While one is under way: these win, ...
_FORESTALLED: Final = {_T.COMPLETE: _S.COMPLETED, _T.FAIL: _S.FAILED}
# ... and these end it. A stop cancels a retry.
_ENDS_OF_STOPS: Final = (_T.RETRY, _T.FINISH_EXECUTION, _T.STOP, _T.FORCE_STOP, _T.HAND_BACK, _T.LOSE_WORKER)
# What an operator asks for while another stop is under way: the end is the last word, a pause goes before what lets the
# job go on, and who resumes a job that is being paused gets it back with its next attempt.
_CHANGED_MINDS: Final = {
    (_I.PAUSE, _T.REQUEST_STOP),
    (_I.NEXT, _T.REQUEST_STOP),
    (_I.NEXT, _T.REQUEST_PAUSE),
    (_I.PAUSE, _T.RESUME),
}


def _while_stopping() -> Iterator[tuple[tuple[Standing, Transition], Standing]]:
    for state, intent in product((_S.STOP_REQUESTED, _S.STOPPING), StopIntent):
        standing = Standing(state, intent)
        for transition, target in _FORESTALLED.items():
            yield (standing, transition), Standing(target)
        for transition in _ENDS_OF_STOPS:
            yield (standing, transition), Standing(STOP_ENDS[intent])
        for transition, asked in INTENTS.items():
            if (intent, transition) in _CHANGED_MINDS:
                yield (standing, transition), Standing(state, asked)
        if state is _S.STOP_REQUESTED:
            yield (standing, _T.ACKNOWLEDGE_STOP), Standing(_S.STOPPING, intent)


TRANSITIONS: Final[dict[tuple[Standing, Transition], Standing]] = {
    (Standing(state), transition): Standing(target, INTENTS[transition] if target in STOP_STATES else None)
    for (state, transition), target in _PLAIN.items()
} | dict(_while_stopping())

TERMINAL_STATES: Final = frozenset({_S.COMPLETED, _S.STOPPED, _S.FAILED})
ACTIVE_STATES: Final = frozenset(JobState) - TERMINAL_STATES
# A worker is at work on it.
HELD_STATES: Final = frozenset({_S.RUNNING, _S.STOP_REQUESTED, _S.STOPPING})

# The second lifecycle of the seeds is a view of the states. SCHEDULED is `scheduled` or `queued`: see `lifecycle`.
_LIFECYCLE: Final = {
    _S.RUNNING: "running",
    _S.STOP_REQUESTED: "running",
    _S.STOPPING: "running",
    _S.PAUSED: "paused",
    _S.COMPLETED: "completed",
    _S.STOPPED: "cancelled",
    _S.FAILED: "failed",
}
_QUEUED: Final = "queued"
FILTER_WORDS: Final[dict[str, frozenset[JobState]]] = {
    **{str(state).lower(): frozenset({state}) for state in JobState},
    "active": ACTIVE_STATES,
    "terminal": TERMINAL_STATES,
    "all": frozenset(JobState),
    "error": frozenset({_S.FAILED}),
    "cancelled": frozenset({_S.STOPPED}),
    _QUEUED: frozenset({_S.SCHEDULED}),
    "stoprequested": frozenset({_S.STOP_REQUESTED}),
}


@cache
def moves(transition: Transition) -> tuple[Move, ...]:
    """Return the rows of the table for ``transition``: one for a state that it leaves in the same way whatever its
    stop is for, else one for each intent.
    """
    rows = [(source, target.state) for (source, what), target in TRANSITIONS.items() if what == transition]
    found: dict[Move, None] = {}
    for source, target in rows:
        same = [to for other, to in rows if other.state is source.state]
        is_one = len(same) == len(StopIntent) and len(set(same)) == 1
        found[Move(source.state, None if is_one else source.intent, target)] = None
    return tuple(found)


def sources(transition: Transition) -> list[JobState]:
    """Return the states that ``transition`` may leave."""
    return list(dict.fromkeys(move.source for move in moves(transition)))


def lifecycle(state: JobState, *, due: bool) -> str:
    """Return the word of the second lifecycle; ``due`` says that the job's time has come."""
    if state is JobState.SCHEDULED:
        return _QUEUED if due else "scheduled"
    return _LIFECYCLE[state]


def parse_states(text: str) -> frozenset[JobState] | None:
    """Read a status filter: words in any case, separated by commas. None means all states.

    :raises AmpError: INVALID_QUERY_PARAMETERS for an unknown word; the message lists the known ones.
    """
    found: set[JobState] = set()
    for word in (part.strip().lower() for part in text.split(",")):
        if word not in FILTER_WORDS:
            known = ", ".join(sorted(FILTER_WORDS))
            raise AmpError(
                ErrorCode.INVALID_QUERY_PARAMETERS,
                f"unknown status {word!r}; known are {known}, also several with commas between",
            )
        found |= FILTER_WORDS[word]
    return None if found == frozenset(JobState) else frozenset(found)


def means_due_ones(text: str) -> bool:
    """Tell whether a status filter that :func:`parse_states` reads means, of the jobs that wait, only those whose time
    has come: it says `queued`, and no word for all that wait.
    """
    waiting = {word for part in text.split(",") if _S.SCHEDULED in FILTER_WORDS[word := part.strip().lower()]}
    return waiting == {_QUEUED}
