"""What the specification says of answers that are server-sent events."""

from __future__ import annotations

from typing import Any

from ampd.admin_api.bodies.models import ErrorBody
from ampd.admin_api.errors import error_responses
from ampd.errors import ErrorCode

_ERROR_CONTENT = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}}


def stream_answers(stream: dict[str, Any], *codes: ErrorCode) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a route: ``stream`` is its success; errors are JSON, whatever the media type of that."""
    errors = error_responses(*codes)
    told = {status: {"description": each["description"], "content": _ERROR_CONTENT} for status, each in errors.items()}
    return {200: stream, **told}
