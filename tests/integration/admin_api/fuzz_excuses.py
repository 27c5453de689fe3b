"""Failures of Schemathesis that are none of ours. Each excuse is as narrow as it can be, and says why."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData, UseAfterFree

from support.fuzz import Case, Excuse, Response, operation_id


@dataclass(frozen=True)
class Refusal:
    """A 400 for a request that its schema allows: the schema cannot say ``why``. It is known by its ``code`` and by
    what its message has in it; ``operations`` matches ids of operations.
    """

    why: str
    code: str
    message: str = ""
    operations: str = ".*"

    def __call__(self, failure: Failure, case: Case, response: Response) -> bool:
        if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
            return False
        body = json.loads(response.content or b"{}")
        return (
            re.fullmatch(self.code, body["error_code"]) is not None
            and re.search(self.message, body["error_message"]) is not None
            and re.fullmatch(self.operations, operation_id(case)) is not None
        )


# A dataset that has just been made has no files in the lake, and was never restored.
_NO_FILES_YET = {
    "get_restore_progress": "RESTORE_NOT_FOUND",
    "restore_dataset": "TABLE_NOT_FOUND",
    "restore_table": "TABLE_NOT_FOUND",
}


def has_no_files_yet(failure: Failure, case: Case, response: Response) -> bool:
    """Excuse the 404 of a restore when the dataset has just been made."""
    code = _NO_FILES_YET.get(operation_id(case))
    is_missing = isinstance(failure, EnsureResourceAvailability) and code is not None
    return is_missing and json.loads(response.content)["error_code"] == code


def history_stays(failure: Failure, case: Case, response: Response) -> bool:
    """Excuse the events of a job that was deleted: its history is kept for the time that retention says."""
    return (
        isinstance(failure, UseAfterFree)
        and failure.operation == "DELETE /jobs/{id}"
        and operation_id(case) in {"list_job_events", "get_job_event"}
    )


def is_of_the_body(failure: Failure, case: Case, response: Response) -> bool:
    """Excuse the 404 of an activation for what its body names: the revision in its path is there."""
    return (
        isinstance(failure, EnsureResourceAvailability)
        and operation_id(case) == "activate_revision"
        and json.loads(response.content)["error_code"] in {"DATASET_NOT_FOUND", "TABLE_NOT_IN_MANIFEST"}
    )


_BODIES = r"INVALID_BODY"
_QUERIES = r"INVALID_QUERY_PARAMETERS"
_OF_SQL = "|".join(
    (
        "INVALID_TABLE_SQL",
        "NO_TABLE_REFERENCES",
        "CATALOG_QUALIFIED_TABLE",
        "TABLE_REFERENCE_RESOLUTION",
        "SELF_REFERENCING_TABLE",
        "SELF_REF_TABLE_NOT_FOUND",
        "CYCLIC_DEPENDENCY",
        "INVALID_PLAN",
        "NON_INCREMENTAL_QUERY",
    )
)
_LARGE = "a number is beyond 64 bits"
_NUL = "a text holds a NUL or half of a surrogate pair"
_BOTH = "given twice with different values|is not that of dataset"
_TWICE = r"mean the same and are given with different values"

EXCUSES: list[Excuse] = [
    has_no_files_yet,
    history_stays,
    is_of_the_body,
    # What depends on what there is.
    Refusal("which kinds there are is known to the workers", "UNKNOWN_JOB_KIND", operations="create_job"),
    Refusal("each kind has a model of its own, some in other packages", "INVALID_JOB_INPUT", operations="create_job"),
    Refusal("which providers there are", "PROVIDER_NOT_FOUND", operations="deploy_dataset|create_job"),
    Refusal("which jobs there are", "DEPENDENCY_NOT_FOUND", operations="deploy_dataset|create_job"),
    Refusal("which datasets there are", _BODIES, "^depends_on: ", "deploy_dataset|create_job"),
    Refusal("which version is the latest", "CANNOT_DELETE_LATEST_VERSION", operations="delete_version"),
    # What depends on another field.
    Refusal("which fields go together; cron; names of time zones", "INVALID_SCHEDULE"),
    Refusal(
        "a filter or all", _BODIES, "^nothing is given by which to choose jobs", "(cancel|pause|resume|retry|delete).*"
    ),
    Refusal("two names of one filter", _BODIES, _TWICE),
    Refusal("one block must not lie behind another", _QUERIES, "^start_block", "get_job_ranges"),
    Refusal("two names of one filter", _QUERIES, _TWICE),
    Refusal("what nothing can have", _QUERIES, _BOTH),
    Refusal("some fields are not for every kind", _BODIES, "not for jobs of kind", "create_job"),
    Refusal("the last block and the first", _BODIES, "^end_block .* lies before block", "(verify|deploy)_dataset"),
    Refusal("a status or ids", _BODIES, "^give either the parameter 'status' or a body", "delete_jobs"),
    # What has a language of its own.
    Refusal("what a manifest is, its own format says", "INVALID_MANIFEST", operations="register_(manifest|dataset)"),
    Refusal("each kind of provider has settings of its own", "INVALID_PROVIDER", operations="register_provider"),
    Refusal("where webhooks may go depends on the configuration; bytes of a secret", "INVALID_WEBHOOK"),
    Refusal("TOML has no null, however deep", "DATA_CONVERSION_ERROR", "null has no form in TOML", "register_provider"),
    # Schemathesis takes the largest integer for a float, and so for one more.
    Refusal("2^63 and more", _BODIES, _LARGE),
    # What JSON Schema could say of each text alone, a hundred times.
    Refusal("SQL; which tables there are", f"(?:{_OF_SQL})", operations="infer_schema"),
    Refusal("Arrow types", "INVALID_PAYLOAD_FORMAT", r"inputTypes|outputType|^functions\.", "infer_schema"),
    Refusal("tables or functions", "EMPTY_TABLES_AND_FUNCTIONS", operations="infer_schema"),
    Refusal("which characters are printable, Unicode says", _BODIES, "^idempotency_key: want 1 to 255", "create_job"),
    # What JSON Schema could say of each number in free content, but clients would not look there.
    Refusal("PostgreSQL and TOML have 64 bits", "INVALID_(PAYLOAD_FORMAT|REQUEST_BODY)", _LARGE),
    *(
        Refusal("PostgreSQL has no NUL", code, _NUL)
        for code in (_BODIES, _QUERIES, "INVALID_PAYLOAD_FORMAT", "INVALID_REQUEST_BODY")
    ),
]
