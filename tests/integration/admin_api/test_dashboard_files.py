"""The files of the dashboard: who may have them, what browsers are told of them, and that nothing else can be had."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from access_matrix import bearer
from admin_api_cluster import Cluster, error, services_over
from fastapi import FastAPI

from ampd.access import NewToken, Role
from ampd.admin_api import Gate, create_app, dashboard
from ampd.admin_api.dashboard import dashboard_router, read_assets
from ampd.admin_api.dashboard.serving import MEDIA_TYPES
from ampd.admin_api.errors import install_error_handlers

ASSETS = Path(dashboard.__file__).parent / "assets"
ROOT = Path(__file__).parents[3]
SCRIPT = b"export const answer = 42;\n" * 50
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dashboard, with secrets around it and in it."""
    (tmp_path / "secret.js").write_text("secret")
    root = tmp_path / "assets"
    (root / "vendor").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><title>ampd</title>")
    for name in ("app.js", "vendor/lib-1.2.3.js", "vendor/lib.js", "app-1.2.3.js"):
        (root / name).write_bytes(SCRIPT)
    (root / "style.css").write_text("body {}")
    (root / "icon.svg").write_text("<svg/>")
    (root / "font.woff2").write_bytes(b"wOF2")
    (root / "vendor" / "lib.LICENSE").write_text("secret")
    (root / "notes.md").write_text("secret")
    (root / "link.js").symlink_to(tmp_path / "secret.js")
    (root / "folder").symlink_to(tmp_path)
    return root


@pytest.fixture
async def files(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(redirect_slashes=False)
    install_error_handlers(app)
    app.include_router(dashboard_router(folder))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
        ("/assets/font.woff2", "font/woff2"),
    ],
)
async def test_files_come_with_their_type_and_with_what_keeps_other_pages_out(
    files: httpx.AsyncClient, path: str, media_type: str
) -> None:
    answer = await files.get(path)
    assert answer.status_code == 200
    told = answer.headers
    assert told["content-type"] == media_type
    assert told["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert told["x-content-type-options"] == "nosniff"
    assert told["referrer-policy"] == "no-referrer"
    assert told["cross-origin-opener-policy"] == "same-origin"
    assert told["x-frame-options"] == "DENY"
    assert "camera=()" in told["permissions-policy"]


@pytest.mark.parametrize("path", ["/", "/assets/app.js", "/assets/font.woff2"])
async def test_head_tells_the_same_as_get_without_the_file(files: httpx.AsyncClient, path: str) -> None:
    for headers in ({}, {"Accept-Encoding": "identity"}):
        got, head = await files.get(path, headers=headers), await files.head(path, headers=headers)
        assert head.headers == got.headers
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0


async def test_a_browser_asks_each_time_and_is_told_when_nothing_has_changed(
    files: httpx.AsyncClient, folder: Path
) -> None:
    first = await files.get("/assets/app.js")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for told in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        same = await files.get("/assets/app.js", headers={"If-None-Match": told})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert same.headers["cache-control"] == "no-cache"
    assert (await files.get("/assets/app.js", headers={"If-None-Match": '"other"'})).status_code == 200
    (folder / "app.js").write_bytes(SCRIPT + b"// changed")
    assert read_assets(folder)["app.js"].tag not in tag


async def test_what_has_its_version_in_its_name_is_kept_for_good(files: httpx.AsyncClient) -> None:
    told = {
        path: (await files.get(f"/assets/{path}")).headers["cache-control"]
        for path in ("vendor/lib-1.2.3.js", "vendor/lib.js", "app-1.2.3.js")
    }
    assert told == {"vendor/lib-1.2.3.js": IMMUTABLE, "vendor/lib.js": "no-cache", "app-1.2.3.js": "no-cache"}


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0, br", False),
        ("gzip; q=0.000", False),
    ],
)
async def test_files_are_compressed_for_those_who_can_read_that(
    files: httpx.AsyncClient, accepted: str, zipped: bool
) -> None:
    request = files.build_request("GET", "/assets/app.js", headers={"Accept-Encoding": accepted})
    answer = await files.send(request, stream=True)
    raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert (gzip.decompress(raw) if zipped else raw) == SCRIPT
    assert (len(raw) < len(SCRIPT)) is zipped
    assert int(answer.headers["content-length"]) == len(raw)
    assert answer.headers.get("content-encoding") == ("gzip" if zipped else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["etag"].endswith('-gzip"') is zipped


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../secret.js",
        "/assets/%2e%2e/secret.js",
        "/assets/..%2fsecret.js",
        "/assets/%252e%252e/secret.js",
        "/assets/..%5csecret.js",
        "/assets/vendor/%2e%2e/%2e%2e/secret.js",
        "/assets//{folder}/secret.js",
        "/assets/%2f{folder}/secret.js",
        "/assets/link.js",
        "/assets/folder/secret.js",
        "/assets/vendor/lib.LICENSE",
        "/assets/notes.md",
        "/assets/app.js%00.svg",
        "/assets/app.js/",
        "/assets/vendor",
        "/assets/vendor/",
        "/assets/",
        "/assets",
        "/index.html",
    ],
)
async def test_nothing_but_the_files_of_the_folder_can_be_had(
    files: httpx.AsyncClient, folder: Path, path: str
) -> None:
    # As it stands: a client must not tidy up the path.
    url = httpx.URL("http://localhost", raw_path=path.format(folder=str(folder.parent)[1:]).encode())
    answer = await files.get(url)
    assert error(answer) == (404, "NOT_FOUND")
    assert "secret" not in answer.text.replace(path, "").replace("secret.js", "")


async def test_the_dashboard_is_there_without_a_token_and_holds_no_data(cluster: Cluster) -> None:
    _, token = await cluster.services.access.create(NewToken(Role.ADMIN), actor="test")
    page = await cluster.api.get("/")
    assert page.status_code == 200
    assert "<title>ampd</title>" in page.text
    assert page.headers["x-request-id"]
    assert (await cluster.api.head("/")).status_code == 200
    assert (await cluster.api.get("/assets/icon.svg")).status_code == 200
    assert error(await cluster.api.get("/assets/nothing.js")) == (404, "NOT_FOUND")
    assert error(await cluster.api.get("/jobs")) == (401, "UNAUTHORIZED")
    for path in ("/", "/assets/icon.svg"):
        assert error(await cluster.api.post(path)) == (405, "METHOD_NOT_ALLOWED")
    served = (await cluster.api.get("/openapi.json", headers=bearer(token))).json()["paths"]
    assert not {path for path in served if path == "/" or path.startswith("/assets")}


async def test_the_dashboard_can_be_switched_off(cluster: Cluster, tmp_path: Path) -> None:
    transport = httpx.ASGITransport(create_app(services_over(cluster.db, tmp_path), Gate(dashboard=False)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        for path in ("/", "/assets/icon.svg"):
            assert error(await api.get(path)) == (404, "NOT_FOUND")
        assert (await api.get("/jobs")).status_code == 200


async def test_every_file_that_the_pages_name_is_served(cluster: Cluster) -> None:
    names = sorted(file.relative_to(ASSETS).as_posix() for file in ASSETS.rglob("*") if file.suffix in MEDIA_TYPES)
    assert "index.html" in names
    for name in names:
        answer = await cluster.api.get(f"/assets/{name}")
        assert (answer.status_code, answer.content) == (200, (ASSETS / name).read_bytes()), name


def test_the_first_load_stays_small() -> None:
    whole = sum(len(asset.zipped or asset.content) for asset in read_assets(ASSETS).values())
    assert whole < 300_000


def test_the_wheel_has_all_files_of_the_dashboard(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    there = {file.relative_to(ROOT / "src").as_posix() for file in ASSETS.rglob("*") if file.is_file()}
    assert there
    assert there <= packed
