"""Requests made by chance, over the whole specification: no server error, no answer that the specification does not
have, and none of the secrets that the cluster is full of, in no answer and no log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from fuzz_excuses import EXCUSES
from fuzz_scene import NOWHERE, Scene, scene

from ampd.metadata_db import EmbeddedPostgres
from support.databases import fresh_database
from support.fuzz import Case, Findings, Fuzzer, Plan, Response, operation_id

QUICK = Plan(examples=4, courses=8, steps=5)
LONG = Plan(examples=150, courses=150, steps=20)
_ENDS_ITSELF = 2**40


@pytest.fixture
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

    def see(self, case: Case, response: Response) -> None:
        content = b"\n".join((response.content or b"", json.dumps(dict(response.headers)).encode()))
        for place in self.scene.seeded.found_in(content) - self.scene.seeded.found_in(_sent(case)):
            self.leaks.add(f"{place}: in the answer to {case.method} {case.path}")
        self._learn(case, response)

    def _learn(self, case: Case, response: Response) -> None:
        if response.status_code in (200, 201) and operation_id(case) in {
            "create_token",
            "create_webhook",
            "put_webhook",
        }:
            body = json.loads(response.content or b"{}")
            made = body.get("token") or body.get("secret") or ""
            if made.startswith(("amp_", "whsec_")) and made not in str(case.body):
                self.scene.seeded.add(f"made by {operation_id(case)}", made)


def _sent(case: Case) -> bytes:
    """Return the body of a request: what it sets may be in its answer."""
    return json.dumps(case.body, default=str).encode()


def harmless(scene: Scene, case: Case) -> None:
    """Change a request that would end the test itself, or call the internet."""
    if operation_id(case) == "revoke_token" and str(case.path_parameters.get("id")) in map(str, scene.own_token_ids):
        case.path_parameters["id"] = _ENDS_ITSELF
    url = case.body.get("url") if isinstance(case.body, dict) else None
    if case.path.startswith("/webhooks") and isinstance(url, str) and urlsplit(url).scheme == "https":
        case.body["url"] = urlsplit(url)._replace(netloc=NOWHERE).geturl()


def documented(scene: Scene) -> dict[str, Any]:
    """Return the specification. It says that no token is needed while there is none; here are some."""
    document = scene.document
    for operations in document["paths"].values():
        for operation in operations.values():
            if "security" in operation:
                operation["security"] = [{"token": []}]
    return document


def fuzz(scene: Scene, url: str, token: str, plan: Plan) -> tuple[Findings, set[str]]:
    watch = Watch(scene)
    fuzzer = Fuzzer(
        documented(scene), url, token, watch=watch.see, change=lambda case: harmless(scene, case), excuses=EXCUSES
    )
    return fuzzer.run(plan), watch.leaks


def complaints(scene: Scene) -> list[str]:
    """Return what must not stand in logs: secrets, stack traces, errors."""
    found = []
    for log in scene.logs():
        for place in scene.seeded.found_in(log.encode()):
            lines = [line for line in log.splitlines() if place in scene.seeded.found_in(line.encode())]
            found.append(f"{place}: in the log: {lines[0][:1000]}")
        found += [line[:3000] for line in log.splitlines() if _is_bad(line)]
    return found


def _is_bad(line: str) -> bool:
    entry = json.loads(line)
    return (
        entry["level"] in {"error", "critical"} or "exception" in entry or "job.crashed" in line or "INTERNAL" in line
    )


def test_x(cluster: Scene) -> None:
    import os
    import time
    from pathlib import Path

    phases = os.environ.get("PH", "examples,coverage,fuzzing,stateful").split(",")
    for ph in phases:
        t = time.time()
        c = time.process_time()
        findings, leaks = fuzz(
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
        print(ph, time.time() - t, time.process_time() - c, findings.statuses, len(findings.failures), leaks)
        print("no success", sorted(set(findings.requests) - findings.succeeded))
        print(findings.requests.most_common(12))
        Path(f"/tmp/w/fz-{ph}.out").write_text("\n\n".join(findings.failures))
    bad = complaints(cluster)
    Path("/tmp/w/fz-log.out").write_text("\n\n".join(bad))
    Path("/tmp/w/fz-full.log").write_text("\n".join(cluster.logs()))
    print(len(bad))
