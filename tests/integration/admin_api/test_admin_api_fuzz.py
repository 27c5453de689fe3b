"""Requests made by chance, over the whole specification: no server error, no answer that the specification does not
have, and none of the secrets that the cluster is full of, in no answer and no log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fuzz_excuses import EXCUSES
from fuzz_scene import Scene, scene
from fuzz_steering import Steering

from ampd.metadata_db import EmbeddedPostgres
from support.databases import fresh_database
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

    def _learn(self, case: Case, response: Response, request_id: str) -> None:
        if response.status_code not in (200, 201) or operation_id(case) not in _MAKING:
            return
        body = json.loads(response.content or b"{}")
        secret = body.get("token") or body.get("secret") or ""
        if secret.startswith(("amp_", "whsec_")) and secret not in json.dumps(case.body, default=str):
            place = f"a secret that {operation_id(case)} made ({request_id})"
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
    fuzzer = Fuzzer(documented(scene), url, token, watch=watch.see, change=steering.change, excuses=EXCUSES)
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


def test_x(cluster: Scene) -> None:
    import os
    import time
    from pathlib import Path

    phases = os.environ.get("PH", "stateful,fuzzing,examples,coverage").split(",")
    good, all_ = set(), set()
    for ph in phases:
        t = time.time()
        c = time.process_time()
        findings = fuzz(
            cluster,
            cluster.loud.admin_url,
            cluster.admin,
            Plan(
                phases=(ph,),
                examples=int(os.environ.get("EX", 4)),
                courses=int(os.environ.get("CO", 8)),
                steps=int(os.environ.get("ST", "5")),
                seed=int(os.environ.get("SEED", "1")),
            ),
        )
        print(
            ph,
            time.time() - t,
            time.process_time() - c,
            sum(findings.requests.values()),
            findings.statuses,
            len(findings.failures),
        )
        good |= findings.succeeded
        all_ |= set(findings.requests)
        Path(f"/tmp/w/fz-{ph}.out").write_text("\n\n".join(findings.failures))
    print("no success", sorted(all_ - good))
    bad = complaints(cluster)
    Path("/tmp/w/fz-log.out").write_text("\n\n".join(bad))
    Path("/tmp/w/fz-full.log").write_text("\n".join(cluster.logs()))
    print(len(bad))
