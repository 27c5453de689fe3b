"""The states of a job and the one table of its transitions (design section 4.2).

Everything that moves a job asks this table: the stores pass its rows to the SQL, the API's 409 answers follow from it,
and the tests walk through it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

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


class Transition(StrEnum):
    """What can happen to a job."""

    DEPLOY = "deploy"  # an operator deploys again
    START = "start"  # the assigned worker begins
    COMPLETE = "complete"  # the handler is done
    RETRY = "retry"  # the handler failed, another try may help
    FAIL = "fail"  # the handler failed for good
    REQUEST_STOP = "request_stop"  # an operator asks for the end
    ACKNOWLEDGE_STOP = "acknowledge_stop"  # the worker heard it
    STOP = "stop"  # the worker has finished what it held
    FORCE_STOP = "force_stop"  # the worker has not finished in the time it had
    HAND_BACK = "hand_back"  # a draining worker gives the job up
    LOSE_WORKER = "lose_worker"  # the worker died or was replaced


_S = JobState
TRANSITIONS: Final[dict[tuple[JobState, Transition], JobState]] = {
    (_S.COMPLETED, Transition.DEPLOY): _S.SCHEDULED,
    (_S.STOPPED, Transition.DEPLOY): _S.SCHEDULED,
    (_S.FAILED, Transition.DEPLOY): _S.SCHEDULED,
    (_S.SCHEDULED, Transition.START): _S.RUNNING,
    (_S.RUNNING, Transition.COMPLETE): _S.COMPLETED,
    (_S.STOP_REQUESTED, Transition.COMPLETE): _S.COMPLETED,
    (_S.STOPPING, Transition.COMPLETE): _S.COMPLETED,
    (_S.RUNNING, Transition.RETRY): _S.SCHEDULED,
    # A stop cancels the retry.
    (_S.STOP_REQUESTED, Transition.RETRY): _S.STOPPED,
    (_S.STOPPING, Transition.RETRY): _S.STOPPED,
    (_S.RUNNING, Transition.FAIL): _S.FAILED,
    (_S.STOP_REQUESTED, Transition.FAIL): _S.FAILED,
    (_S.STOPPING, Transition.FAIL): _S.FAILED,
    # Nobody holds anything yet: the stop is done at once, also for a job that waits to retry.
    (_S.SCHEDULED, Transition.REQUEST_STOP): _S.STOPPED,
    (_S.RUNNING, Transition.REQUEST_STOP): _S.STOP_REQUESTED,
    (_S.STOP_REQUESTED, Transition.ACKNOWLEDGE_STOP): _S.STOPPING,
    (_S.STOP_REQUESTED, Transition.STOP): _S.STOPPED,
    (_S.STOPPING, Transition.STOP): _S.STOPPED,
    (_S.STOP_REQUESTED, Transition.FORCE_STOP): _S.STOPPED,
    (_S.STOPPING, Transition.FORCE_STOP): _S.STOPPED,
    (_S.RUNNING, Transition.HAND_BACK): _S.SCHEDULED,
    (_S.STOP_REQUESTED, Transition.HAND_BACK): _S.STOPPED,
    (_S.STOPPING, Transition.HAND_BACK): _S.STOPPED,
    (_S.RUNNING, Transition.LOSE_WORKER): _S.SCHEDULED,
    (_S.STOP_REQUESTED, Transition.LOSE_WORKER): _S.STOPPED,
    (_S.STOPPING, Transition.LOSE_WORKER): _S.STOPPED,
}

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
_FILTER_WORDS: Final[dict[str, frozenset[JobState]]] = {
    **{str(state).lower(): frozenset({state}) for state in JobState},
    "active": ACTIVE_STATES,
    "terminal": TERMINAL_STATES,
    "all": frozenset(JobState),
    "error": frozenset({_S.FAILED}),
    "cancelled": frozenset({_S.STOPPED}),
    "queued": frozenset({_S.SCHEDULED}),
    "stoprequested": frozenset({_S.STOP_REQUESTED}),
}


def targets(transition: Transition) -> dict[JobState, JobState]:
    """Return the states that ``transition`` may leave, each with the state it enters."""
    return {source: target for (source, what), target in TRANSITIONS.items() if what == transition}


def lifecycle(state: JobState, *, due: bool) -> str:
    """Return the word of the second lifecycle; ``due`` says that the job's time has come."""
    if state is JobState.SCHEDULED:
        return "queued" if due else "scheduled"
    return _LIFECYCLE[state]


def parse_states(text: str) -> frozenset[JobState] | None:
    """Read a status filter: words in any case, separated by commas. None means all states.

    :raises AmpError: INVALID_QUERY_PARAMETERS for an unknown word; the message lists the known ones.
    """
    found: set[JobState] = set()
    for word in (part.strip().lower() for part in text.split(",")):
        if word not in _FILTER_WORDS:
            known = ", ".join(sorted(_FILTER_WORDS))
            raise AmpError(
                ErrorCode.INVALID_QUERY_PARAMETERS,
                f"unknown status {word!r}; known are {known}, also several with commas between",
            )
        found |= _FILTER_WORDS[word]
    return None if found == frozenset(JobState) else frozenset(found)
