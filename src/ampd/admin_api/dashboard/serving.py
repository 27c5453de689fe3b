"""Serves the files of the dashboard: read once, so that nothing outside of their folder can be asked for.

They hold no data, so everybody may have them; what they show comes from the Admin API, by its rules.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response

from ampd.admin_api.rules import PUBLIC

_ASSETS: Final = Path(__file__).parent / "assets"
_INDEX: Final = "index.html"
# What browsers ask for; other files, such as licences, are not served.
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_COMPRESSED: Final = frozenset({".png", ".woff2"})
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Vary": "Accept-Encoding",
}
# Whoever has it asks each time whether it is still the same, so that an upgrade of the controller counts at once …
_ASK_EACH_TIME: Final = "no-cache"
# … but not for what has another name when it changes.
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_NAME_WITH_VERSION: Final = re.compile(r"vendor/.*-\d+\.\d+\.\d+\.\w+")


@dataclass(frozen=True)
class Asset:
    """A file of the dashboard. ``zipped``: the same by gzip; None: that would be no smaller."""

    content: bytes
    zipped: bytes | None
    media_type: str
    cache_control: str
    tag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> Asset:
        """Make one of a file."""
        suffix = Path(name).suffix
        zipped = None if suffix in _COMPRESSED else gzip.compress(content, mtime=0)
        return cls(
            content,
            zipped if zipped is not None and len(zipped) < len(content) else None,
            MEDIA_TYPES[suffix],
            _FOR_EVER if _NAME_WITH_VERSION.fullmatch(name) else _ASK_EACH_TIME,
            sha256(content).hexdigest()[:32],
        )

    def answer(self, request: Request) -> Response:
        """Return the answer to a GET or HEAD."""
        is_zipped = self.zipped is not None and _takes_gzip(request.headers.get("accept-encoding", ""))
        body = self.zipped if is_zipped and self.zipped is not None else self.content
        # Strong: another one for other bytes.
        tag = f'"{self.tag}-gzip"' if is_zipped else f'"{self.tag}"'
        headers = {**HEADERS, "Cache-Control": self.cache_control, "ETag": tag}
        if _names(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        if is_zipped:
            headers["Content-Encoding"] = "gzip"
        # The server leaves the body of a HEAD out.
        return Response(body, media_type=self.media_type, headers=headers)


def read_assets(folder: Path) -> dict[str, Asset]:
    """Return the files of a folder that browsers ask for, by their paths in it. Links that lead elsewhere are none.

    :raises OSError: a file cannot be read.
    """
    root = folder.resolve()
    files = (file for file in sorted(root.rglob("*")) if file.suffix in MEDIA_TYPES and file.is_file())
    return {
        (name := file.relative_to(root).as_posix()): Asset.of(name, file.read_bytes())
        for file in files
        if file.resolve().is_relative_to(root)
    }


def dashboard_router(folder: Path = _ASSETS) -> APIRouter:
    """Return the routes of the dashboard; they are no part of the specification."""
    assets = _read_once(folder)
    page = assets[_INDEX]
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"], operation_id="dashboard", dependencies=[PUBLIC])
    async def index(request: Request) -> Response:
        return page.answer(request)

    @router.api_route("/assets/{path:path}", methods=["GET", "HEAD"], operation_id="asset", dependencies=[PUBLIC])
    async def asset(request: Request, path: str) -> Response:
        found = assets.get(path)
        if found is None:
            raise HTTPException(404)
        return found.answer(request)

    return router


@cache
def _read_once(folder: Path) -> dict[str, Asset]:
    return read_assets(folder)


def _takes_gzip(accepted: str) -> bool:
    """Tell whether Accept-Encoding allows gzip."""
    for each in accepted.lower().split(","):
        name, _, quality = each.partition(";")
        if name.strip() in {"gzip", "*"}:
            return re.fullmatch(r"q=0(\.0*)?", quality.strip()) is None
    return False


def _names(if_none_match: str, tag: str) -> bool:
    """Tell whether If-None-Match names ``tag``. Proxies may have weakened it; for a GET that is the same."""
    return any(each.strip().removeprefix("W/") in {tag, "*"} for each in if_none_match.split(","))
