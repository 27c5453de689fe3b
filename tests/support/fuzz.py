"""Schemathesis over a whole specification: its phases, all its checks, and what its checks do not know.

Requests that nobody may send by accident (a token that revokes itself, a webhook that calls the internet) are changed
on their way; failures that are none are excused one by one, each with its reason: see ``admin_api/fuzz_excuses.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema
from schemathesis.generation.meta import TestPhase
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER

Case = schemathesis.Case
Response = schemathesis.Response
Excuse = Callable[[Failure, Case, Response], bool]
Watch = Callable[[Case, Response], None]
Change = Callable[[Case], None]

ALL_PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass(frozen=True)
class Plan:
    """How much is sent: ``examples`` random requests to each operation and so many courses of up to ``steps``
    requests; ``phases`` of :data:`ALL_PHASES`. ``only`` chooses operations by what the specification has of them.
    """

    phases: Sequence[str] = ALL_PHASES
    examples: int = 10
    courses: int = 10
    steps: int = 6
    seed: int = 1
    only: Callable[[Any], bool] | None = None


@dataclass
class Findings:
    """What came of it. ``failures``: one text for each; ``requests``: how many were sent to each operation."""

    failures: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    succeeded: set[str] = field(default_factory=set)
    requests: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Fuzzer:
    """Sends requests with ``token`` to ``base_url``, which has the operations of ``document``.

    ``watch`` sees every answer whole; ``change`` may change a request; ``excuses`` are asked about each failure.
    """

    document: dict[str, Any]
    base_url: str
    token: str
    watch: Watch
    change: Change
    excuses: Sequence[Excuse]

    def run(self, plan: Plan) -> Findings:
        """Carry out ``plan``."""
        findings = Findings()
        with self._changing():
            for event in from_schema(self._schema(plan)).execute():
                self._note(event, findings)
        return findings

    def _schema(self, plan: Plan) -> Any:
        stateful = {"max-steps": plan.steps, "generation": {"max-examples": plan.courses}}
        generation = {"max-examples": plan.examples, "database": "none", "no-shrink": True, "deterministic": True}
        config = schemathesis.Config.from_dict(
            {
                "seed": plan.seed,
                "headers": {"Authorization": f"Bearer {self.token}"},
                "base-url": self.base_url,
                "continue-on-failure": True,
                "request-timeout": 30,
                "generation": generation,
                "phases": {name: {"enabled": name in plan.phases} for name in ALL_PHASES}
                | {"stateful": {"enabled": "stateful" in plan.phases, **stateful}},
            }
        )
        schema = schemathesis.openapi.from_dict(deepcopy(self.document), config=config)

        def after_call(_context: Any, case: Case, response: Response) -> None:
            self.watch(case, response)

        def filter_failure(_context: Any, failure: Failure, case: Case, response: Response) -> bool:
            return not any(excuse(failure, case, response) for excuse in self.excuses)

        schema.hook(after_call)
        schema.hook(filter_failure)
        only = plan.only
        return schema if only is None else schema.include(lambda context: only(context.operation.definition.raw))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        def before_call(_context: Any, case: Case, _kwargs: Any) -> None:
            self.change(case)

        schemathesis.hook(before_call)
        try:
            yield
        finally:
            GLOBAL_HOOK_DISPATCHER.unregister(before_call)

    def _note(self, event: Any, findings: Findings) -> None:
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            findings.failures.append(f"{event.label}: {event.value!r}")
        if isinstance(event, events.ScenarioFinished):
            _note_scenario(event.recorder, findings)


def _note_scenario(recorder: Any, findings: Findings) -> None:
    for case_id, exchange in recorder.interactions.items():
        operation = recorder.cases[case_id].value.operation.label
        findings.requests[operation] += 1
        if exchange.response is not None:
            findings.statuses[exchange.response.status_code] += 1
            if exchange.response.status_code < 300:
                findings.succeeded.add(operation)
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                answer = recorder.interactions[case_id].response if case_id in recorder.interactions else None
                text = "no answer" if answer is None else f"{answer.status_code} {answer.text[:500]}"
                failure, sample = check.failure_info.failure, check.failure_info.code_sample[:1500]
                findings.failures.append(f"{check.name}: {failure.operation}: {failure}\n  {sample}\n  -> {text}")


def operation_id(case: Case) -> str:
    """Return the ``operationId`` of the operation that a request is for."""
    return str(case.operation.definition.raw["operationId"])


def is_random(case: Case, *phases: TestPhase) -> bool:
    """Tell whether chance has made a request that its schema allows, in one of ``phases``."""
    return case.meta is not None and case.meta.phase.name in phases and case.meta.generation.mode.is_positive
