"""Sessions: signing in with a token, what the cookie then opens, and all the ways in which it opens nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from access_matrix import bearer
from admin_api_cluster import Cluster, error, services_over

from ampd.access import NewToken, Role
from ampd.admin_api import Gate, create_app
from ampd.telemetry.logs import redact_text

COOKIE = "ampd_session"
NOBODY = {"actor": None, "role": None, "namespaces": None, "expires_at": None, "csrf_token": None}
CANCEL = {"all": True}
WRONG = f"amp_{'0' * 12}_{'x' * 43}"


@dataclass
class Browser:
    """A browser that shows the dashboard of a controller: it keeps cookies."""

    api: httpx.AsyncClient
    csrf: str = ""

    async def sign_in(self, token: str, **headers: str) -> httpx.Response:
        answer = await self.api.post("/session", json={"token": token}, headers=headers)
        self.csrf = answer.json().get("csrf_token") or ""
        return answer

    async def change(self, csrf: str | None = None, **headers: str) -> httpx.Response:
        return await self.api.post(
            "/jobs/cancel", json=CANCEL, headers={"X-CSRF-Token": self.csrf if csrf is None else csrf} | headers
        )

    @property
    def secret(self) -> str:
        return self.api.cookies[COOKIE]

    @secret.setter
    def secret(self, value: str) -> None:
        self.api.cookies.clear()
        self.api.cookies.set(COOKIE, value)


Opener = Callable[..., Awaitable[Browser]]


@pytest.fixture
async def browse(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Opener]:
    """Open browsers; each has a controller of its own over the same database."""
    async with AsyncExitStack() as stack:

        async def open_one(gate: Gate | None = None, url: str = "http://localhost") -> Browser:
            transport = httpx.ASGITransport(create_app(services_over(cluster.db, tmp_path), gate))
            api = httpx.AsyncClient(transport=transport, base_url=url)
            return Browser(await stack.enter_async_context(api))

        yield open_one


async def token_of(cluster: Cluster, role: Role = Role.ADMIN, name: str | None = None, *namespaces: str) -> str:
    """Return a new token, behind the first one, which only shuts the door."""
    store = cluster.services.access
    if not await store.has_tokens():
        await store.create(NewToken(Role.ADMIN, "first"), actor="test")
    _, secret = await store.create(NewToken(role, name, namespaces or None), actor="test")
    return secret


async def change(cluster: Cluster, statement: Any) -> None:
    async with cluster.db.transaction() as connection:
        await connection.execute(statement)


def cookie_of(answer: httpx.Response) -> Any:
    (header,) = answer.headers.get_list("set-cookie")
    return SimpleCookie(header)[COOKIE]


def is_cleared(answer: httpx.Response) -> bool:
    cookie = cookie_of(answer)
    return cookie.value == "" and cookie["max-age"] == "0" and cookie["path"] == "/"


async def test_who_signs_in_with_a_token_gets_a_cookie_that_opens_what_the_token_opens(
    cluster: Cluster, browse: Opener
) -> None:
    token = await token_of(cluster, Role.OPERATOR, "ada")
    browser = await browse()
    before = await browser.api.get("/session")
    assert before.json() == {"signed_in": False, "needs_token": True, "version": "0.0.0", **NOBODY}
    assert "set-cookie" not in before.headers
    assert (await browser.api.get("/jobs")).status_code == 401
    answer = await browser.sign_in(token + "\n")
    assert answer.status_code == 200
    told = answer.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told.pop("expires_at"))
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", told.pop("csrf_token"))
    assert told == {
        "signed_in": True,
        "needs_token": True,
        "actor": "admin-api:ada",
        "role": "operator",
        "namespaces": None,
        "version": "0.0.0",
    }
    again = await browser.api.get("/session")
    assert again.json()["csrf_token"] == browser.csrf
    assert again.headers["cache-control"] == "no-store"
    jobs = await browser.api.get("/jobs")
    assert (jobs.status_code, jobs.headers["cache-control"]) == (200, "no-store")
    assert (await browser.change()).status_code == 200


@pytest.mark.parametrize(("url", "secure"), [("http://localhost", ""), ("https://ampd.example.com", True)])
async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_of_plain_http_where_there_is_tls(
    cluster: Cluster, browse: Opener, url: str, secure: Any
) -> None:
    browser = await browse(url=url)
    cookie = cookie_of(await browser.sign_in(await token_of(cluster)))
    kept = {name: value for name, value in cookie.items() if value}
    assert kept == {"httponly": True, "samesite": "strict", "path": "/"} | ({"secure": True} if secure else {})
    left = cookie_of(await browser.api.delete("/session", headers={"X-CSRF-Token": browser.csrf}))
    assert (left.value, left["secure"], left["httponly"], left["samesite"]) == ("", secure, True, "strict")


async def test_what_is_no_token_begins_no_session_and_is_not_repeated(cluster: Cluster, browse: Opener) -> None:
    await token_of(cluster)
    browser = await browse()
    for token in (WRONG, "", "something else", "x" * 900):
        with structlog.testing.capture_logs() as logs:
            answer = await browser.sign_in(token)
        assert error(answer) == (401, "UNAUTHORIZED")
        assert "set-cookie" not in answer.headers
        assert not token or token not in answer.text + str(logs)
        assert [each["event"] for each in logs] == ["admin_api.sign_in_refused"]
    for body in ({}, {"token": None}, {"token": "x" * 1001}, {"token": "x" * 50, "remember": True}, "x" * 50):
        answer = await browser.api.post("/session", json=body)
        assert error(answer) == (400, "INVALID_BODY")
        assert "xxx" not in answer.text
    assert await cluster.db.fetch_all("SELECT * FROM sessions") == []


async def test_a_session_is_over_after_twelve_hours_without_use(cluster: Cluster, browse: Opener) -> None:
    browser = await browse()
    await browser.sign_in(await token_of(cluster))
    await change(cluster, "UPDATE sessions SET used_at = now() - interval '11 hours 59 minutes'")
    assert (await browser.api.get("/jobs")).status_code == 200
    (row,) = await cluster.db.fetch_all("SELECT now() - used_at < interval '1 minute' AS is_fresh FROM sessions")
    assert row["is_fresh"]
    await change(cluster, "UPDATE sessions SET used_at = now() - interval '12 hours'")
    secret = browser.secret
    answer = await browser.api.get("/jobs")
    assert error(answer) == (401, "UNAUTHORIZED")
    assert "sign in again" in answer.json()["error_message"]
    assert is_cleared(answer)
    browser.secret = secret
    told = await browser.api.get("/session")
    assert told.json() == {"signed_in": False, "needs_token": True, "version": "0.0.0", **NOBODY}
    assert is_cleared(told)


async def test_the_use_of_a_session_is_written_once_a_minute(cluster: Cluster, browse: Opener) -> None:
    browser = await browse()
    await browser.sign_in(await token_of(cluster, Role.ADMIN, "ada"))
    version = "SELECT s.xmin::text AS session, t.xmin::text AS token FROM sessions s JOIN tokens t ON t.id = token_id"
    first = await cluster.db.fetch_all(version)
    for _ in range(3):
        assert (await browser.api.get("/jobs")).status_code == 200
    assert await cluster.db.fetch_all(version) == first
    await change(cluster, "UPDATE sessions SET used_at = now() - interval '61 seconds'")
    await change(cluster, "UPDATE tokens SET last_used_at = now() - interval '61 seconds'")
    assert (await browser.api.get("/jobs")).status_code == 200
    (row,) = await cluster.db.fetch_all(
        "SELECT used_at > now() - interval '30 seconds' AND last_used_at > now() - interval '30 seconds' AS noted "
        "FROM sessions JOIN tokens ON tokens.id = token_id"
    )
    assert row["noted"]


async def test_sessions_that_are_over_go_when_somebody_signs_in(cluster: Cluster, browse: Opener) -> None:
    token, count = await token_of(cluster), "SELECT count(*) AS n FROM sessions"
    for _ in range(3):
        await (await browse()).sign_in(token)
    await change(cluster, "UPDATE sessions SET used_at = now() - interval '12 hours'")
    await (await browse()).sign_in(token)
    assert (await cluster.db.fetch_all(count))[0]["n"] == 1


async def test_a_session_ends_with_its_token_at_once_on_all_controllers(cluster: Cluster, browse: Opener) -> None:
    browser, other = await browse(), await browse()
    ends = {
        "UPDATE tokens SET revoked_at = now(), revoked_by = 'x' WHERE name = 'ada'": "revoked",
        "UPDATE tokens SET expires_at = now() WHERE name = 'bob'": "expired",
        "DELETE FROM tokens WHERE name = 'eve'": "not there",
    }
    for name, (statement, said) in zip(("ada", "bob", "eve"), ends.items(), strict=True):
        browser.api.cookies.clear()
        await browser.sign_in(await token_of(cluster, Role.VIEWER, name))
        other.secret = browser.secret
        assert (await other.api.get("/jobs")).status_code == 200
        await change(cluster, statement)
        for each in (browser, other):
            answer = await each.api.get("/jobs")
            assert error(answer) == (401, "UNAUTHORIZED")
            assert said in answer.json()["error_message"]
            assert "sign in again" in answer.json()["error_message"]
            assert is_cleared(answer)


async def test_the_answer_tells_when_the_token_ends_before_the_session_does(cluster: Cluster, browse: Opener) -> None:
    token = await token_of(cluster, Role.VIEWER, "ada")
    await change(cluster, "UPDATE tokens SET expires_at = '2099-01-01T00:00:00Z' WHERE name = 'ada'")
    browser = await browse()
    assert (await browser.sign_in(token)).json()["expires_at"] < "2099"
    await change(cluster, "UPDATE tokens SET expires_at = now() + interval '1 hour' WHERE name = 'ada'")
    (row,) = await cluster.db.fetch_all(
        "SELECT to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS at FROM tokens "
        "WHERE name = 'ada'"
    )
    assert (await browser.api.get("/session")).json()["expires_at"] == row["at"]


async def test_a_session_that_was_never_there_opens_nothing(cluster: Cluster, browse: Opener) -> None:
    await token_of(cluster)
    browser = await browse()
    for secret in ("ampsession_" + "x" * 43, WRONG, "' OR true --", "\x80"):
        answer = await browser.api.get("/jobs", headers={"Cookie": f"{COOKIE}={secret}".encode("latin-1")})
        assert error(answer) == (401, "UNAUTHORIZED")
        assert is_cleared(answer)
        assert secret not in answer.text


async def test_what_changes_something_by_cookie_needs_the_csrf_token_of_just_this_session(
    cluster: Cluster, browse: Opener
) -> None:
    token = await token_of(cluster)
    browser, other = await browse(), await browse()
    await browser.sign_in(token)
    await other.sign_in(token)
    await cluster.register()
    await browser.api.post(
        "/datasets/ethereum/mainnet/versions/latest/deploy", json={}, headers={"X-CSRF-Token": browser.csrf}
    )
    for wrong in (other.csrf, browser.csrf[:-1], "", browser.secret):
        answer = await browser.change(csrf=wrong)
        assert error(answer) == (403, "CSRF_TOKEN_INVALID")
        assert "csrf_token" in answer.json()["error_message"]
        assert browser.csrf not in answer.text
    missing = await browser.api.post("/jobs/cancel", json=CANCEL)
    assert error(missing) == (403, "CSRF_TOKEN_INVALID")
    assert "missing" in missing.json()["error_message"]
    odd = await browser.api.post("/jobs/cancel", json=CANCEL, headers={"X-CSRF-Token": "é".encode()})
    assert error(odd) == (403, "CSRF_TOKEN_INVALID")
    for method in ("PUT", "PATCH", "DELETE"):
        assert error(await browser.api.request(method, "/jobs/1")) == (403, "CSRF_TOKEN_INVALID")
    assert (await browser.api.get("/jobs")).json()["jobs"][0]["status"] == "SCHEDULED"
    assert (await browser.change()).json()["matched"] == 1


async def test_a_request_with_a_token_needs_no_csrf_token_and_its_cookie_does_not_count(
    cluster: Cluster, browse: Opener
) -> None:
    admin, viewer = await token_of(cluster), await token_of(cluster, Role.VIEWER)
    browser = await browse()
    await browser.sign_in(viewer)
    assert (await browser.api.post("/jobs/cancel", json=CANCEL, headers=bearer(admin))).status_code == 200
    told = (await browser.api.get("/session", headers=bearer(admin))).json()
    assert (told["signed_in"], told["role"], told["csrf_token"], told["expires_at"]) == (True, "admin", None, None)
    await browser.sign_in(admin)
    assert error(await browser.change(**bearer(viewer))) == (403, "FORBIDDEN")
    refused = await browser.api.get("/jobs", headers=bearer(WRONG))
    assert error(refused) == (401, "UNAUTHORIZED")
    assert "set-cookie" not in refused.headers
    assert (await browser.api.delete("/session", headers=bearer(viewer))).status_code == 204
    assert (await browser.api.get("/jobs")).status_code == 200


async def test_who_signs_out_is_out_on_all_controllers(cluster: Cluster, browse: Opener) -> None:
    browser, other = await browse(), await browse()
    await browser.sign_in(await token_of(cluster))
    other.secret = browser.secret
    assert error(await browser.api.delete("/session")) == (403, "CSRF_TOKEN_INVALID")
    answer = await browser.api.delete("/session", headers={"X-CSRF-Token": browser.csrf})
    assert answer.status_code == 204
    assert is_cleared(answer)
    assert await cluster.db.fetch_all("SELECT * FROM sessions") == []
    assert COOKIE not in browser.api.cookies
    assert error(await other.api.get("/jobs")) == (401, "UNAUTHORIZED")
    assert (await browser.api.delete("/session")).status_code == 204
    assert (await browser.api.delete("/session", headers={"Cookie": f"{COOKIE}=gone"})).status_code == 204


async def test_who_signs_in_anew_leaves_no_session_behind(cluster: Cluster, browse: Opener) -> None:
    token = await token_of(cluster)
    browser = await browse()
    await browser.sign_in(token)
    first = browser.secret
    await browser.sign_in(token)
    assert browser.secret != first
    browser.secret = first
    assert error(await browser.api.get("/jobs")) == (401, "UNAUTHORIZED")


async def test_a_session_may_and_sees_no_more_than_its_token(cluster: Cluster, browse: Opener) -> None:
    viewer, limited = await browse(), await browse()
    await viewer.sign_in(await token_of(cluster, Role.VIEWER))
    told = (await limited.sign_in(await token_of(cluster, Role.ADMIN, None, "mine", "also_mine"))).json()
    assert told["namespaces"] == ["also_mine", "mine"]
    await cluster.register("mine/set")
    await cluster.register("others/set", start_block=1)
    refused = await viewer.change()
    assert error(refused) == (403, "FORBIDDEN")
    assert "operator" in refused.json()["error_message"]
    for browser, names in ((viewer, {"mine", "others"}), (limited, {"mine"})):
        datasets = (await browser.api.get("/datasets")).json()["datasets"]
        assert {each["namespace"] for each in datasets} == names
    assert (await limited.api.get("/datasets/others/set")).status_code == 404
    assert error(await limited.api.get("/tokens")) == (403, "FORBIDDEN")


async def test_the_history_of_a_job_and_the_log_name_the_token_of_the_session(cluster: Cluster, browse: Opener) -> None:
    browser = await browse()
    with structlog.testing.capture_logs() as logs:
        await browser.sign_in(await token_of(cluster, Role.ADMIN, "night-shift"))
        await cluster.register()
        path, headers = "/datasets/ethereum/mainnet/versions/latest/deploy", {"X-CSRF-Token": browser.csrf}
        job_id = (await browser.api.post(path, json={}, headers=headers)).json()["job_id"]
    events = (await browser.api.get(f"/jobs/{job_id}/events")).json()["events"]
    assert {event["actor"] for event in events} == {"admin-api:night-shift"}
    told = [(each["event"], each["actor"]) for each in logs if each["event"].startswith("admin_api.")]
    assert told == [
        ("admin_api.signed_in", "admin-api:night-shift"),
        ("admin_api.request", "admin-api:night-shift"),
    ]


async def test_neither_cookie_nor_token_is_stored_or_logged(cluster: Cluster, browse: Opener) -> None:
    token = await token_of(cluster)
    browser = await browse()
    with structlog.testing.capture_logs() as logs:
        answer = await browser.sign_in(token)
        assert (await browser.change()).status_code == 200
        await browser.change(csrf="wrong")
    rows = str(await cluster.db.fetch_all("SELECT s::text AS row, encode(hash, 'escape') AS hash FROM sessions s"))
    for secret in (browser.secret, browser.secret.removeprefix("ampsession_"), browser.csrf, token):
        assert secret not in rows
        assert secret not in str(logs)
    assert browser.secret not in answer.text
    assert token not in answer.text + str(answer.headers)
    assert browser.secret not in browser.csrf
    assert redact_text(f"sent {browser.secret} there") == "sent ampsession_*** there"


async def test_where_nobody_needs_a_token_everybody_is_signed_in(cluster: Cluster, browse: Opener) -> None:
    browser = await browse()
    open_to_all = {
        **NOBODY,
        "signed_in": True,
        "needs_token": False,
        "actor": "admin-api",
        "role": "admin",
        "version": "0.0.0",
    }
    assert (await browser.api.get("/session")).json() == open_to_all
    answer = await browser.sign_in("left over from elsewhere")
    assert (answer.json(), "set-cookie" in answer.headers) == (open_to_all, False)
    assert (await browser.api.post("/jobs/cancel", json=CANCEL)).status_code == 200
    # The cookie of another ampd on this machine: cookies know no ports.
    browser.secret = "ampsession_" + "x" * 43
    assert (await browser.api.get("/session")).json() == open_to_all
    assert (await browser.api.post("/jobs/cancel", json=CANCEL)).status_code == 200
    assert (await browser.api.delete("/session")).status_code == 204
    guarded = await browse(Gate(requires_token=True))
    told = (await guarded.api.get("/session")).json()
    assert (told["signed_in"], told["needs_token"]) == (False, True)
    assert error(await guarded.sign_in("anything")) == (401, "UNAUTHORIZED")


async def test_a_page_whose_name_was_pointed_at_this_machine_neither_sees_nor_changes_anything(
    cluster: Cluster, browse: Opener
) -> None:
    """To its browser the page is of this origin: all that tells it from ours is the name that the request has."""
    browser = await browse(url="http://127.0.0.1:1610")
    await cluster.register()
    page = {"host": "evil.example:1610", "origin": "http://evil.example:1610", "sec-fetch-site": "same-origin"}
    for method, path in (
        *(("GET", "/jobs"), ("GET", "/session"), ("GET", "/live"), ("POST", "/jobs/cancel"), ("DELETE", "/session")),
        *(("DELETE", "/datasets/ethereum/mainnet"), ("POST", "/session")),
    ):
        for headers in (page, page | {"authorization": "Bearer amp_nothing"}, page | {"cookie": f"{COOKIE}=x"}):
            answer = await browser.api.request(method, path, headers=headers, json={"token": "x"})
            assert error(answer) == (403, "CROSS_ORIGIN_REFUSED"), (method, path)
    assert (await browser.api.get("/jobs", headers={"host": "localhost:1610"})).status_code == 200
    assert (await browser.api.get("/healthz", headers=page)).status_code == 200
    # With a token there it is the token that decides: a proxy on this machine passes other names on.
    bearer = {"authorization": f"Bearer {await token_of(cluster)}"}
    assert (await browser.api.get("/jobs", headers={"host": "ampd.example.com"} | bearer)).status_code == 200
    assert error(await browser.api.get("/jobs", headers=page)) == (401, "UNAUTHORIZED")


async def test_web_pages_of_other_origins_change_nothing_where_nobody_needs_a_token(
    cluster: Cluster, browse: Opener
) -> None:
    await cluster.register()
    browser = await browse()
    await browser.api.post("/datasets/ethereum/mainnet/versions/latest/deploy", json={})
    for origin in ("https://evil.example.com", "http://localhost:9999", "null", "http://["):
        for media_type in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
            headers = {"Content-Type": media_type, "Origin": origin}
            answer = await browser.api.post("/jobs/cancel", content='{"all": true}', headers=headers)
            assert error(answer) == (403, "CROSS_ORIGIN_REFUSED")
    assert (await browser.api.get("/jobs")).json()["jobs"][0]["status"] == "SCHEDULED"
    ours = await browser.api.post("/jobs/cancel", json=CANCEL, headers={"Origin": "http://localhost"})
    assert ours.json()["matched"] == 1


async def test_nobody_is_signed_in_by_a_page_that_is_not_of_this_server(cluster: Cluster, browse: Opener) -> None:
    token = await token_of(cluster)
    browser = await browse(Gate(cors_origins=("https://ops.example.com",)))
    for headers in (
        {"Origin": "https://evil.example.com"},
        {"Origin": "https://ops.example.com"},
        {"Origin": "http://["},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        answer = await browser.sign_in(token, **headers)
        assert error(answer) == (403, "CROSS_ORIGIN_REFUSED")
        assert "set-cookie" not in answer.headers
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert (await browser.sign_in(token, **own)).status_code == 200
    asked = await browser.change(Origin="https://evil.example.com")
    assert error(asked) == (403, "CROSS_ORIGIN_REFUSED")


async def test_who_tries_too_often_from_one_address_is_told_when_to_try_again(cluster: Cluster, browse: Opener) -> None:
    token = await token_of(cluster)
    browser = await browse(Gate(sign_ins_per_minute=2))
    for _ in range(2):
        assert (await browser.sign_in(WRONG)).status_code == 401
    answer = await browser.sign_in(token)
    assert error(answer) == (429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert (await browser.api.get("/session")).json()["signed_in"] is False
    assert (await browser.api.get("/jobs", headers=bearer(token))).status_code == 200


async def test_a_proxy_on_the_same_machine_tells_of_tls_and_of_who_is_behind_it(
    cluster: Cluster, admin_url: str
) -> None:
    token = await token_of(cluster)
    behind = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    async with httpx.AsyncClient(base_url=admin_url) as api:
        answer = await api.post("/session", json={"token": token}, headers=behind)
        assert cookie_of(answer)["secure"] is True
        statuses = [(await api.post("/session", json={"token": WRONG}, headers=behind)).status_code for _ in range(10)]
        assert statuses == [401] * 9 + [429]
        assert (await api.post("/session", json={"token": WRONG})).status_code == 401


async def test_requests_of_a_session_count_as_those_of_its_token(cluster: Cluster, browse: Opener) -> None:
    browser = await browse(Gate(requests_per_minute=12))
    token = await token_of(cluster)
    assert (await browser.sign_in(token)).status_code == 200
    assert (await browser.api.get("/jobs")).status_code == 200
    for answer in (await browser.api.get("/jobs"), await browser.api.get("/jobs", headers=bearer(token))):
        assert error(answer) == (429, "RATE_LIMITED")
    assert error(await browser.api.get("/session")) == (429, "RATE_LIMITED")
