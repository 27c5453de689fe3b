"""Requests made by chance, over the whole specification: no server error, no answer that the specification does not
have, and none of the secrets that the cluster is full of, in no answer and no log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fuzz_excuses import EXCUSES
from fuzz_scene import Scene, scene
from fuzz_steering import Steering
from psycopg import sql
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import EnsureResourceAvailability

from ampd.metadata_db import EmbeddedPostgres
from support.databases import execute, fresh_database
from support.fuzz import Case, Findings, Fuzzer, Plan, Response, operation_id

_MAKING = frozenset({"create_token", "create_webhook", "put_webhook", "rotate_webhook_secret"})


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres, migrated_template: str
) -> Iterator[Scene]:
    with fresh_database(postgres_server, migrated_template) as url, scene(tmp_path_factory.mktemp("fuzz"), url) as made:
        yield made


@dataclass
class Watch:
    """Looks for secrets in every answer, and learns those that are made while it looks."""

    scene: Scene
    leaks: set[str] = field(default_factory=set)
    _made_by: dict[str, str] = field(default_factory=dict)
    _truncated: set[str] = field(default_factory=set)

    def see(self, case: Case, response: Response) -> None:
        """Look at one answer. What a request sets may be in the answer to it."""
        headers = dict(response.headers)
        content = b"\n".join((response.content or b"", json.dumps(headers).encode()))
        request = json.dumps(case.body, default=str).encode()
        found = self.scene.seeded.found_in(content) - self.scene.seeded.found_in(request)
        (request_id,) = headers["x-request-id"]
        self.leaks |= {
            f"{place}: in the answer to {case.method} {case.path}: {request!r} -> {content!r}"
            for place in found
            if self._made_by.get(place) != request_id
        }
        self._learn(case, response, request_id)
        if operation_id(case) == "truncate_revision" and response.status_code == 200:
            self._truncated.add(str(case.path_parameters["id"]))

    def was_truncated(self, failure: Failure, case: Case, response: Response) -> bool:
        """Excuse the 404 of a revision that was made and truncated: that deletes it, though its path says more."""
        body = json.loads(response.content or b"{}") if isinstance(failure, EnsureResourceAvailability) else {}
        is_gone = isinstance(body, dict) and body.get("error_code") == "REVISION_NOT_FOUND"
        return is_gone and str(case.path_parameters.get("id")) in self._truncated

    def _learn(self, case: Case, response: Response, request_id: str) -> None:
        for cookie in dict(response.headers).get("set-cookie", []):
            session = cookie.partition("=")[2].partition(";")[0].strip('"')
            if session:
                self._remember(f"the cookie of a session ({request_id})", session, request_id)
        if response.status_code not in (200, 201) or operation_id(case) not in _MAKING:
            return
        body = json.loads(response.content or b"{}")
        secret = body.get("token") or body.get("secret") or ""
        is_made_up = not (isinstance(case.body, dict) and case.body.get("secret"))
        if is_made_up and secret.startswith(("amp_", "whsec_")):
            self._remember(f"a secret that {operation_id(case)} made ({request_id})", secret, request_id)

    def _remember(self, place: str, secret: str, request_id: str) -> None:
        self.scene.seeded.add(place, secret)
        self._made_by[place] = request_id


def documented(scene: Scene) -> dict[str, Any]:
    """Return the specification. It says that no token is needed while there is none; here are some."""
    document = scene.document
    for operations in document["paths"].values():
        for operation in operations.values():
            if "security" in operation:
                operation["security"] = [{"token": []}]
    return document


def fuzz(scene: Scene, url: str, token: str, plan: Plan) -> Findings:
    """Send what ``plan`` says; return what came of it, with the leaks among the failures."""
    watch = Watch(scene)
    steering = Steering(scene)
    fuzzer = Fuzzer(
        documented(scene), url, token, watch=watch.see, change=steering.change, excuses=[*EXCUSES, watch.was_truncated]
    )
    findings = fuzzer.run(plan)
    findings.failures += sorted(watch.leaks)
    return findings


def complaints(scene: Scene) -> list[str]:
    """Return what must not stand in logs: secrets, stack traces, errors."""
    return [*leaks(scene), *(line[:3000] for log in scene.logs() for line in log.splitlines() if is_bad(line))]


def leaks(scene: Scene) -> list[str]:
    """Return the first line of a log in which there is a secret, for each of them."""
    found = []
    for log in scene.logs():
        for place in scene.seeded.found_in(log.encode()):
            line = next(line for line in log.splitlines() if place in scene.seeded.found_in(line.encode()))
            found.append(f"{place}: in the log: {line[:1000]}")
    return found


def is_bad(line: str) -> bool:
    """Tell whether a line of a log tells of something that is wrong with us."""
    entry = json.loads(line)
    words = ("job.crashed", "INTERNAL", "Traceback")
    return entry["level"] in {"error", "critical"} or "exception" in entry or any(word in line for word in words)


# --- what the tests look at


_ALL: dict[str, dict[str, Any]] = {
    "/jobs": {"status": "all", "limit": 1000},
    "/events": {"after": "start", "follow": False},
    "/live": {"follow": False},
}


def everything_that_can_be_read(scene: Scene, token: str) -> Iterator[httpx.Response]:
    """Give the answers of all operations that read, for each id that there is, and some that there are not."""
    heads = {"Authorization": f"Bearer {token}"}
    known: dict[str, Sequence[Any]] = {
        "namespace": ["ethereum"],
        "name": ["mainnet", "full", "header", "variable", "firehose", "no_toml", "no_url", "no_key"],
        "revision": ["1.0.0", "1.1.0"],
        "hash": [scene.manifest_hash],
        "event_id": range(1, 4),
        "delivery_id": range(1, 4),
        "file_id": range(1, 4),
    }
    with httpx.Client(base_url=scene.loud.admin_url, headers=heads, timeout=30) as api:
        for path, operations in scene.document["paths"].items():
            names = [name for _, name, _, _ in Formatter().parse(path) if name]
            values = {**known, "id": ["worker-01"] if path.startswith("/workers") else range(1, 21)}
            for chosen in product(*(values[name] for name in names)) if "get" in operations else ():
                yield api.get(path.format(**dict(zip(names, chosen, strict=True))), params=_ALL.get(path, {}))


def is_small(operation: dict[str, Any]) -> bool:
    """Tell whether an operation has no body and few parameters: others have hundreds of requests that try each part."""
    return "requestBody" not in operation and len(operation.get("parameters", [])) < 7


def assert_nothing_found(failures: list[str]) -> None:
    assert not failures, "\n\n".join([f"{len(failures)} failures", *failures[:20]])


# --- the tests


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_no_secret_can_be_read_by_anybody(cluster: Scene, role: str) -> None:
    token = cluster.admin if role == "admin" else cluster.viewer
    answers = list(everything_that_can_be_read(cluster, token))
    assert len([answer for answer in answers if answer.is_success]) > 100
    assert not {answer.status_code for answer in answers} & {401, 500, 503}
    for answer in answers:
        assert not cluster.seeded.found_in(answer.content), answer.request.url


def test_requests_made_by_chance_get_answers_that_the_specification_has_and_no_secret(cluster: Scene) -> None:
    for plan in (
        Plan(("stateful", "examples", "fuzzing"), examples=1, courses=15),
        Plan(("coverage",), only=is_small),
    ):
        assert_nothing_found(fuzz(cluster, cluster.loud.admin_url, cluster.admin, plan).failures)
    assert not complaints(cluster)


def test_a_viewer_gets_answers_that_the_specification_has_and_no_secret(cluster: Scene) -> None:
    plan = Plan(("stateful", "fuzzing"), examples=1, courses=6)
    assert_nothing_found(fuzz(cluster, cluster.quiet.admin_url, cluster.viewer, plan).failures)
    assert not complaints(cluster)


@pytest.mark.long
def test_thousands_of_requests_made_by_chance_get_answers_that_the_specification_has_and_no_secret(
    cluster: Scene,
) -> None:
    """The same, systematically through all parts of all bodies, and in long courses."""
    plans = (
        Plan(("stateful",), courses=120, steps=20, seed=2),
        Plan(("fuzzing",), examples=40, seed=2),
        Plan(("examples", "coverage"), seed=2),
        Plan(("stateful",), courses=50, steps=20, seed=3),
    )
    failures: list[str] = []
    succeeded: set[str] = set()
    called: set[str] = set()
    for plan in plans:
        findings = fuzz(cluster, cluster.loud.admin_url, cluster.admin, plan)
        failures += findings.failures
        succeeded |= findings.succeeded
        called |= set(findings.requests)
    plan = Plan(examples=20, courses=50, steps=20, seed=2)
    failures += fuzz(cluster, cluster.quiet.admin_url, cluster.viewer, plan).failures
    assert_nothing_found(failures)
    assert not complaints(cluster)
    # Chance also takes away what others need; but it must not go on among nothing but 404.
    assert len(succeeded) > 0.9 * len(called), f"no request came through to its end: {sorted(called - succeeded)}"


@pytest.mark.long
def test_without_its_database_a_controller_says_so_and_tells_no_secret(
    tmp_path: Path, postgres_server: EmbeddedPostgres, migrated_template: str
) -> None:
    with fresh_database(postgres_server, migrated_template) as url, scene(tmp_path, url) as made:
        name = urlsplit(url).path.lstrip("/")
        execute(postgres_server, sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        ended = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
        execute(postgres_server, ended.format(sql.Literal(name)))
        for each in (made.quiet, made.loud):
            answer = httpx.get(f"{each.admin_url}/jobs", headers={"Authorization": f"Bearer {made.admin}"}, timeout=60)
            assert answer.json()["error_code"] == "METADATA_DB_UNREACHABLE"
            assert not made.seeded.found_in(answer.content)
        assert not leaks(made)
