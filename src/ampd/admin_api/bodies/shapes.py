"""What texts look like, for the specification: clients, and the requests that are made of it by chance, go by that.

Nothing is checked by these patterns: it is where a text is read, with a message that says more than a pattern can.
They are written for the regular expressions of JSON Schema.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, WithJsonSchema

from ampd.admin_api.bodies.strict import MAX_INT64
from ampd.datasets.names import (
    DEV,
    HASH_PATTERN,
    LATEST,
    MAX_NAME_LENGTH,
    NAME_PATTERN,
    NAMESPACE_PATTERN,
    PROVIDER_NAME_PATTERN,
)
from ampd.datasets.semver import PATTERN as SEMVER_PATTERN
from ampd.jobs.states import FILTER_WORDS
from ampd.jobs.workers import NODE_ID_PATTERN

_Schema = dict[str, Any]


def _shape(pattern: str, *examples: Any, longest: int | None = None) -> _Schema:
    """Return what the schema of a text says beside its type."""
    length = {} if longest is None else {"maxLength": longest}
    return {"pattern": f"^(?:{pattern})$", **length, **({"examples": list(examples)} if examples else {})}


_NAMES: Final = f"{NAMESPACE_PATTERN}/{NAME_PATTERN}"
_PREFIX: Final = "(?:pkg:amp/)?"
_WORDS: Final = "|".join(sorted({*FILTER_WORDS, *(word.upper() for word in FILTER_WORDS)}))
# A letter, or whatever else can be seen.
_SEEN: Final = r"[^\s\x00-\x20\x7f-\xa0]"

NAMESPACE: Final = _shape(NAMESPACE_PATTERN, "ethereum")
NAME: Final = _shape(NAME_PATTERN, "mainnet")
VERSION: Final = _shape(SEMVER_PATTERN, "1.0.0", longest=MAX_NAME_LENGTH)
REVISION: Final = _shape(f"{LATEST}|{DEV}|{HASH_PATTERN}|{SEMVER_PATTERN}", "1.0.0", longest=MAX_NAME_LENGTH)
MANIFEST_HASH: Final = _shape(HASH_PATTERN)
DATASET: Final = _shape(f"{_PREFIX}{_NAMES}", "ethereum/mainnet")
REFERENCE: Final = _shape(
    f"{_PREFIX}{_NAMES}(?:@(?:{LATEST}|{DEV}|{HASH_PATTERN}|{SEMVER_PATTERN}))?",
    "ethereum/mainnet@1.0.0",
)
# One that means the same for ever.
PINNED_REFERENCE: Final = _shape(f"{_PREFIX}{_NAMES}@(?:{HASH_PATTERN}|{SEMVER_PATTERN})", "ethereum/mainnet@1.0.0")
PROVIDER_NAME: Final = _shape(PROVIDER_NAME_PATTERN, "mainnet")
NODE_ID: Final = _shape(NODE_ID_PATTERN, "worker-01")
WORKER_SELECTOR: Final = _shape(f"{NODE_ID_PATTERN}\\*?", "eth-*")
STATUSES: Final = _shape(rf"\s*(?:{_WORDS})\s*(?:,\s*(?:{_WORDS})\s*)*", "active", "running,failed")
LABEL: Final = _shape(r"[^=]+=[\s\S]*", "product=my-app")
REASON: Final = _shape(rf"[\s\S]*{_SEEN}[\s\S]*")


END_BLOCK: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "pattern": r"^(?:latest|-?[0-9]{1,18})$"},
            {"type": "integer", "minimum": -MAX_INT64, "maximum": MAX_INT64},
            {"type": "null"},
        ],
        "default": None,
    }
)


def within(least: int, most: int) -> _Schema:
    """Return what the schema of a number says whose range is checked elsewhere, with codes of its own."""
    return {"minimum": least, "maximum": most}


def shaped(shape: _Schema) -> Any:
    """Return the annotation of a text of a body or a query that looks like ``shape``."""
    return Field(json_schema_extra=shape)
