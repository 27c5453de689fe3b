"""Who may do what: every operation, every role, namespaces in and out. Generated from the specification."""

from __future__ import annotations

from typing import Any

import pytest
from access_matrix import Operation, Place, bearer, operations, place
from admin_api_cluster import Cluster

from ampd.access import NewToken, Role
from ampd.admin_api import app as application
from ampd.admin_api.rules import Rule, api_routes, rule_of
from ampd.admin_api.services import Limitable, Services, ServicesParameter
from ampd.jobs import JobFilter, NewJob

HIDDEN = "hidden_place"
LOOSE = "of_no_namespace"
# Stores that cannot be limited, and why that shows nothing.
# Operations that only read, although they are POST.
READING = {"preview_schedule", "infer_schema"}
NOT_LIMITED = {
    "providers": "operations on providers are for tokens that see everything",
    "tables": "asked only about a job that was found before",
    "creator": "creates; what it depends on was looked at before",
    "timetables": "asked only about a job that was found before",
    "kinds": "no store",
    "event_streams": "told with each reader what that one sees",
    "access": "operations on tokens are for tokens that see everything",
    "figures": "metrics are for tokens that see everything",
    "version": "no store",
    "schemas": "is told only of datasets that were found before",
    "actor": "no store",
    "namespaces": "no store",
}


def test_every_route_declares_who_may_use_it() -> None:
    routes = list(api_routes(application._application("0.0.0").routes))
    assert len(routes) > 40
    undeclared = sorted(f"{route.operation_id} ({route.path})" for route in routes if rule_of(route) is None)
    assert {"/", "/assets/{path:path}"} <= {route.path for route in routes}
    assert not undeclared, f"give these routes one of ampd.admin_api.rules as a dependency: {undeclared}"


def test_only_the_health_of_the_process_and_what_it_takes_to_sign_in_are_public() -> None:
    routes = api_routes(application._application("0.0.0").routes)
    public = {route.path for route in routes if rule_of(route) == Rule(None)}
    assert public == {"/healthz", "/readyz", "/session", "/", "/assets/{path:path}"}
    assert {each.path for each in operations() if each.role is None} == {"/healthz", "/readyz", "/session"}


def test_a_viewer_changes_nothing_and_only_an_admin_changes_what_is_not_a_job_or_a_worker() -> None:
    changing = [each for each in operations() if each.method != "GET" and each.id not in READING]
    for_viewers = {each.id for each in operations() if each.role is Role.VIEWER}
    assert not for_viewers & {each.id for each in changing}
    for_operators = {each.id for each in changing if each.role is Role.OPERATOR and "job" not in each.id}
    running = {"deploy_dataset", "verify_dataset", "drain_worker", "undrain_worker"}
    assert for_operators <= running | {"test_webhook", "replay_webhook", "replay_webhook_delivery"}
    assert {
        each.id for each in operations() if each.path.startswith("/tokens") and each.role is not Role.ADMIN
    } == set()


def test_every_store_can_be_limited_or_says_why_it_need_not(cluster: Cluster) -> None:
    limited = {name for name in Services.__dataclass_fields__ if isinstance(getattr(cluster.services, name), Limitable)}
    unknown = set(Services.__dataclass_fields__) - limited - set(NOT_LIMITED)
    assert not unknown, f"give these stores a method limited_to, or name them in NOT_LIMITED: {unknown}"
    assert not limited & set(NOT_LIMITED)


async def test_a_route_without_a_rule_answers_nobody(cluster: Cluster) -> None:
    app = cluster.api._transport.app  # type: ignore[attr-defined]

    @app.get("/forgotten")
    async def forgotten(services: ServicesParameter) -> str:
        return "open"

    answer = await cluster.api.get("/forgotten")
    assert answer.status_code == 500
    assert "open" not in answer.text


class Matrix:
    """All operations for one token; ``faults`` are what was wrong with the answers."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.faults: list[str] = []
        self.count = 0

    async def token(self, role: Role, *namespaces: str) -> str:
        _, secret = await self.cluster.services.access.create(NewToken(role, None, namespaces or None), actor="test")
        return secret

    async def ask(self, operation: Operation, at: Place, token: str | None) -> Any:
        self.count += 1
        answer = await operation.send(self.cluster.api, at, token)
        if answer.status_code >= 500 or (token and token in answer.text):
            self.faults.append(f"{operation.id}: {answer.status_code} {answer.text}")
        return answer

    def want(self, operation: Operation, who: str, answer: Any, *, allowed: bool) -> None:
        code = answer.json().get("error_code") if answer.status_code >= 400 else None
        refused = answer.status_code == 403 and code == "FORBIDDEN"
        if allowed is (refused or answer.status_code in {401, 404}):
            self.faults.append(f"{operation.id} by {who}: {answer.status_code} {code}")


async def _fingerprint(cluster: Cluster, outside: Place) -> list[Any]:
    """Return all of the outside that an operation could change."""
    services = cluster.services
    jobs, _ = await services.jobs.list_page(JobFilter(), limit=1000)
    return [
        [(job.id, job.state, job.updated_at) for job in jobs if job.kind == "http" or job.id == outside.job_id],
        await services.jobs.events(outside.job_id),
        await services.webhooks.get(outside.webhook_id),
        await services.webhooks.deliveries(outside.webhook_id, limit=10),
        await services.datasets.versions(HIDDEN, "set"),
        await services.providers.list_all(),
        await services.lake.revisions.get(outside.revision_id),
        await services.lake.revisions.files(outside.revision_id, limit=10),
    ]


async def test_without_a_token_nobody_gets_in_and_each_role_may_do_what_its_rule_says(cluster: Cluster) -> None:
    await cluster.services.access.create(NewToken(Role.ADMIN, "first"), actor="test")
    matrix = Matrix(cluster)
    await matrix.cluster.services.providers.put("other", "evm-rpc", {"network": "mainnet", "url": "http://127.0.0.1:1"})
    for number, role in enumerate(Role):
        token, at = await matrix.token(role), await place(cluster, f"place_{role}", number)
        for operation in operations():
            for nobody in (None, f"amp_{'0' * 12}_{'x' * 43}", "something else"):
                answer = await operation.send(cluster.api, at, nobody)
                if operation.role is not None and answer.status_code != 401:
                    matrix.faults.append(f"{operation.id} without a token: {answer.status_code}")
            answer = await matrix.ask(operation, at, token)
            allowed = operation.role is None or role.includes(operation.role)
            if operation.path.startswith("/providers/{") or operation.method == "DELETE":
                allowed = allowed and answer.status_code != 404
            matrix.want(operation, f"{role}", answer, allowed=allowed)
    assert not matrix.faults, "\n".join(matrix.faults)


async def test_for_a_limited_token_there_is_nothing_outside_of_its_namespaces(cluster: Cluster) -> None:
    await cluster.services.access.create(NewToken(Role.ADMIN, "first"), actor="test")
    outside = await place(cluster, HIDDEN, 500)
    loose = NewJob(
        kind="http",
        input={"url": "http://127.0.0.1:1/", "dataset_namespace": "place_admin"},
        request_hash="h",
        labels={"product": LOOSE},
    )
    await cluster.services.creator.create(loose, actor="test")
    before = await _fingerprint(cluster, outside)
    matrix = Matrix(cluster)
    for number, role in enumerate(Role):
        inside = await place(cluster, f"place_{role}", number)
        token = await matrix.token(role, inside.namespace)
        for operation in operations():
            await _outside(matrix, operation, outside, token)
            answer = await matrix.ask(operation, inside, token)
            allowed = operation.role is None or (role.includes(operation.role) and not operation.whole)
            matrix.want(operation, f"limited {role}", answer, allowed=allowed)
            if HIDDEN in answer.text or LOOSE in answer.text:
                matrix.faults.append(f"{operation.id} shows a limited {role} what is hidden: {answer.text}")
    assert not matrix.faults, "\n".join(matrix.faults)
    assert await _fingerprint(cluster, outside) == before


async def _outside(matrix: Matrix, operation: Operation, outside: Place, token: str) -> None:
    """What is outside is answered as what is nowhere."""
    if not operation.names_a_thing():
        return
    nowhere = Place()
    one = await matrix.ask(operation, outside, token)
    other = await matrix.ask(operation, nowhere, token)
    if (one.status_code, outside.anonymous(one.text)) != (other.status_code, nowhere.anonymous(other.text)):
        matrix.faults.append(
            f"{operation.id}: {one.status_code} {one.text}, but nowhere {other.status_code} {other.text}"
        )


async def test_pages_and_counts_of_a_limited_token_are_right(cluster: Cluster) -> None:
    _, admin = await cluster.services.access.create(NewToken(Role.ADMIN), actor="test")
    mine = []
    for number in range(3):
        for namespace in ("mine", "others", "also_mine"):
            await cluster.register(f"{namespace}/set{number}", start_block=number)
            answer = await cluster.api.post(
                f"/datasets/{namespace}/set{number}/versions/dev/deploy", json={}, headers=bearer(admin)
            )
            if namespace != "others":
                mine.append(answer.json()["job_id"])
    new = NewToken(Role.OPERATOR, "limited", ("mine", "also_mine"))
    _, limited = await cluster.services.access.create(new, actor="test")
    seen: list[int] = []
    cursor: dict[str, Any] = {}
    for _page in range(10):
        page = (await cluster.api.get("/jobs", params={"limit": 2} | cursor, headers=bearer(limited))).json()
        seen += [job["id"] for job in page["jobs"]]
        if "next_cursor" not in page:
            break
        cursor = {"last_job_id": page["next_cursor"]}
    assert seen == sorted(mine, reverse=True)
    everything = (await cluster.api.get("/jobs", params={"status": "all"}, headers=bearer(limited))).json()
    assert [job["id"] for job in everything["jobs"]] == seen
    assert (await cluster.api.get("/jobs/stats", headers=bearer(limited))).json()["total"] == len(mine)
    ended = await cluster.api.post("/jobs/cancel", json={"all": True}, headers=bearer(limited))
    assert ended.json()["matched"] == len(mine)
    assert (await cluster.api.get("/jobs", headers=bearer(admin))).json()["jobs"][0]["dataset"]["namespace"] == "others"


async def test_what_a_seen_job_waits_for_is_hidden_when_that_is_outside(cluster: Cluster) -> None:
    _, admin = await cluster.services.access.create(NewToken(Role.ADMIN), actor="test")
    await cluster.register("mine/set")
    await cluster.register(f"{HIDDEN}/set", start_block=1)
    path = "/datasets/{}/set/versions/dev/deploy"
    body: dict[str, Any] = {"depends_on": [f"{HIDDEN}/set", "mine/set"]}
    await cluster.register("mine/later", start_block=2)
    answer = await cluster.api.post("/datasets/mine/later/versions/dev/deploy", json=body, headers=bearer(admin))
    job_id = answer.json()["job_id"]
    hidden_id = (await cluster.api.post(path.format(HIDDEN), json={}, headers=bearer(admin))).json()["job_id"]
    _, limited = await cluster.services.access.create(NewToken(Role.ADMIN, None, ("mine",)), actor="test")
    job = (await cluster.api.get(f"/jobs/{job_id}", headers=bearer(limited))).json()
    assert {each["reference"] for each in job["depends_on"]} == {"hidden", "mine/set"}
    refused = await cluster.api.post(
        "/datasets/mine/set/versions/dev/deploy", json={"depends_on": [hidden_id]}, headers=bearer(limited)
    )
    assert (refused.status_code, refused.json()["error_code"]) == (400, "DEPENDENCY_NOT_FOUND")


@pytest.mark.parametrize("change", [{"filters": {}}, {"filters": {"dataset_namespaces": ["mine", HIDDEN]}}])
async def test_a_webhook_of_a_limited_token_is_told_of_nothing_else(cluster: Cluster, change: dict[str, Any]) -> None:
    await cluster.services.access.create(NewToken(Role.ADMIN), actor="test")
    _, limited = await cluster.services.access.create(NewToken(Role.ADMIN, None, ("mine",)), actor="test")
    body = {"url": "https://example.com/", "filters": {"dataset_namespaces": ["mine"]}}
    made = await cluster.api.post("/webhooks", json=body, headers=bearer(limited))
    assert made.status_code == 201, made.text
    for method, path in (
        ("PATCH", f"/webhooks/{made.json()['id']}"),
        ("POST", "/webhooks"),
        ("PUT", "/webhooks/by-url"),
    ):
        wider = change if method == "PATCH" else {"url": "https://example.com/other"} | change
        answer = await cluster.api.request(method, path, json=wider, headers=bearer(limited))
        assert (answer.status_code, answer.json()["error_code"]) == (403, "FORBIDDEN")


async def test_what_a_webhook_was_told_before_it_was_limited_stays_hidden(cluster: Cluster) -> None:
    _, admin = await cluster.services.access.create(NewToken(Role.ADMIN), actor="test")
    _, limited = await cluster.services.access.create(NewToken(Role.ADMIN, None, ("mine",)), actor="test")
    made = await cluster.api.post("/webhooks", json={"url": "https://example.com/"}, headers=bearer(admin))
    webhook_id = made.json()["id"]
    for namespace in ("mine", HIDDEN):
        await cluster.register(f"{namespace}/set", start_block=len(namespace))
        await cluster.api.post(f"/datasets/{namespace}/set/versions/dev/deploy", json={}, headers=bearer(admin))
    path = f"/webhooks/{webhook_id}/deliveries"
    assert (await cluster.api.get(path, headers=bearer(limited))).status_code == 404
    told = (await cluster.api.get(path, headers=bearer(admin))).json()["deliveries"]
    assert len(told) == 2
    await cluster.api.patch(
        f"/webhooks/{webhook_id}", json={"filters": {"dataset_namespaces": ["mine"]}}, headers=bearer(admin)
    )
    shown = (await cluster.api.get(path, headers=bearer(limited))).json()["deliveries"]
    assert [each["payload"]["job"]["dataset"]["namespace"] for each in shown] == ["mine"]
    (other,) = {each["id"] for each in told} - {each["id"] for each in shown}
    for method, tail in (("GET", ""), ("POST", "/replay")):
        answer = await cluster.api.request(method, f"{path}/{other}{tail}", headers=bearer(limited))
        assert (answer.status_code, answer.json()["error_code"]) == (404, "DELIVERY_NOT_FOUND")
