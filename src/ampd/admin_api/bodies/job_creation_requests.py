"""The body of POST /jobs, and the inputs of the kinds that concern a dataset."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from ampd.admin_api.bodies.requests import (
    MAX_INT32,
    MAX_WRITERS,
    Dependencies,
    DeployRequest,
    RetryRequest,
    Selector,
    VerifyRequest,
)
from ampd.admin_api.bodies.schedule_requests import ScheduleRequest
from ampd.admin_api.bodies.shapes import shaped, within
from ampd.admin_api.bodies.strict import Strict
from ampd.jobs import Schedule, parse_schedule
from ampd.jobs.schedule_request import refused

MAX_LABELS: Final = 64
MAX_LABEL_CHARACTERS: Final = 255
MAX_INPUT_BYTES: Final = 256 * 1024
MAX_KEY_CHARACTERS: Final = 255
MAX_COOLDOWN_SECONDS: Final = 366 * 86_400
_LABEL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,62}")


KEY: Final = {"minLength": 1, "maxLength": MAX_KEY_CHARACTERS}
LABELS: Final = {
    "maxProperties": MAX_LABELS,
    "propertyNames": {"pattern": f"^{_LABEL_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "maxLength": MAX_LABEL_CHARACTERS},
}


def _moment(value: Any) -> Any:
    """Read a moment of RFC 3339, or milliseconds since 1970."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("want a moment such as 2026-03-04T10:00:00Z, or milliseconds since 1970")
    if isinstance(value, str):
        if re.fullmatch(r"[-+]?[0-9.]+", value.strip()):
            raise ValueError("want a moment such as 2026-03-04T10:00:00Z; milliseconds are a number, not a text")
        return value
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError("the moment lies outside the years 1 to 9999") from None


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > MAX_LABELS:
        raise ValueError(f"more than {MAX_LABELS} labels")
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            raise ValueError(f"label {name[:80]!r}: want a letter, then letters, digits, '_', '-', '.' and '/'")
        if len(value) > MAX_LABEL_CHARACTERS:
            raise ValueError(f"label {name!r} has more than {MAX_LABEL_CHARACTERS} characters")
    return labels


def _input(content: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(content, ensure_ascii=False).encode())
    if size > MAX_INPUT_BYTES:
        raise ValueError(f"{size} bytes of JSON, the most is {MAX_INPUT_BYTES}")
    return content


def _key(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > MAX_KEY_CHARACTERS:
        raise ValueError(f"want 1 to {MAX_KEY_CHARACTERS} printable characters")
    return text


class CreateJobRequest(Strict):
    """Body of POST /jobs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "http",
                    "input": {
                        "method": "POST",
                        "url": "https://api.example.com/reports",
                        "body": {"day": "2026-03-04"},
                    },
                    "labels": {"product": "my-app", "env": "prd"},
                    "retries": 5,
                    "idempotency_key": "report-2026-03-04",
                }
            ]
        }
    )

    kind: StrictStr = Field(
        description="extraction, verification, compaction, http, or a kind that an installed package brings",
    )
    input: Annotated[dict[str, Any], AfterValidator(_input)] = Field(
        default_factory=dict, description="what the kind needs; its values are checked when the kind is known here"
    )
    labels: Annotated[dict[str, StrictStr], AfterValidator(_labels), shaped(LABELS)] = Field(
        default_factory=dict, description="names to find the job by, such as product and env"
    )
    retries: Annotated[StrictInt, Field(ge=0, le=MAX_INT32)] | None = Field(
        default=0,
        description="how often a failure that may pass is tried again; null: without limit. Extraction jobs: without "
        "limit unless given, verification jobs: five times",
    )
    retry_policy: RetryRequest | None = Field(default=None, description="how long to wait between tries")
    schedule: ScheduleRequest | None = Field(default=None, description="when it runs; now, once, unless given")
    start_at: Annotated[AwareDatetime, BeforeValidator(_moment)] | None = Field(
        default=None, description="not before: RFC 3339, or milliseconds since 1970"
    )
    priority: StrictInt = Field(default=0, ge=-MAX_INT32, le=MAX_INT32, description="the higher is placed first")
    depends_on: Dependencies = Field(
        default_factory=list,
        description="what must have completed before: ids of jobs, or references of datasets (their extraction jobs)",
    )
    worker: Selector = Field(default=None, description="the worker that must run it: its id, or a prefix and '*'")
    idempotency_key: Annotated[StrictStr, AfterValidator(_key), shaped(KEY)] | None = Field(
        default=None, description="the same key with the same content is the same job, while that is there"
    )

    def wanted_schedule(self) -> Schedule | None:
        """Return when the job should run: ``start_at`` beside a schedule is that of the schedule. None: now, once.

        :raises AmpError: INVALID_SCHEDULE.
        """
        given = {} if self.schedule is None else self.schedule.given()
        if self.start_at is not None:
            if given.get("start_at") is not None:
                raise refused("start_at", "is given beside the schedule and in it; leave one out")
            given["start_at"] = self.start_at
        return parse_schedule(given) if given or self.schedule is not None else None

    def content_hash(self) -> str:
        """Return a hash of what is asked for, the idempotency key aside. What is not given has no part in it."""
        content = self.model_dump(mode="json", exclude_unset=True, exclude={"idempotency_key"})
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def given(self) -> frozenset[str]:
        """The names of what is given."""
        return frozenset(self.model_fields_set)


class ExtractionJobInput(Strict):
    """Input of kind ``extraction``: the dataset, and what a deploy says beside what the job has."""

    dataset: StrictStr
    end_block: Any = None
    parallelism: StrictInt = Field(default=1, ge=1, le=MAX_WRITERS)
    verify: Any = None

    def deploy_request(self, request: CreateJobRequest) -> DeployRequest:
        """Return the deploy that asks for the same."""
        own = self.model_dump(exclude_unset=True, exclude={"dataset"})
        shared = {"priority": request.priority, "worker_id": request.worker, "depends_on": request.depends_on}
        retries = {"retries": request.retries} if "retries" in request.given else {}
        retry = {} if request.retry_policy is None else {"retry": request.retry_policy.model_dump()}
        return DeployRequest.model_validate({**own, **shared, **retries, **retry})


class VerificationJobInput(Strict):
    """Input of kind ``verification``."""

    dataset: StrictStr
    start_block: Any = None
    end_block: Any = None

    def verify_request(self, request: CreateJobRequest) -> VerifyRequest:
        """Return the request of a verification that asks for the same."""
        own = self.model_dump(exclude_unset=True, exclude={"dataset"})
        return VerifyRequest.model_validate({**own, "priority": request.priority, "worker_id": request.worker})


class CompactionJobInput(Strict):
    """Input of kind ``compaction``."""

    dataset: StrictStr
    cooldown_secs: Annotated[StrictFloat | StrictInt, shaped(within(0, MAX_COOLDOWN_SECONDS))] = Field(
        default=0.0, ge=0, le=MAX_COOLDOWN_SECONDS, description="files stay as they are until they are so old"
    )
