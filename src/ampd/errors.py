"""Every error that ampd shows to a person or a program, in one list.

An :class:`AmpError` says what happened, where, and what to do about it. Daemons and ``ampctl`` print it without a
stack trace; the Admin API sends it as ``{"error_code", "error_message"}`` (design section 5.1). A job that ends with
one keeps it as its ``last_error``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """The codes of all errors. The words are part of the wire: never rename one."""

    # Configuration and start-up
    CONFIG_INVALID = "CONFIG_INVALID"
    CONFIG_NOT_FOUND = "CONFIG_NOT_FOUND"
    METADATA_DB_UNREACHABLE = "METADATA_DB_UNREACHABLE"
    METADATA_DB_NOT_MIGRATED = "METADATA_DB_NOT_MIGRATED"
    METADATA_DB_MIGRATION_FAILED = "METADATA_DB_MIGRATION_FAILED"
    METADATA_DB_UNSUPPORTED = "METADATA_DB_UNSUPPORTED"
    EMBEDDED_DB_FAILED = "EMBEDDED_DB_FAILED"
    AMP_DIR_IN_USE = "AMP_DIR_IN_USE"
    ADDRESS_IN_USE = "ADDRESS_IN_USE"
    INVALID_WORKER_ID = "INVALID_WORKER_ID"
    NODE_ID_IN_USE = "NODE_ID_IN_USE"
    RECORDED_BLOCKS_INVALID = "RECORDED_BLOCKS_INVALID"

    # Requests to the Admin API
    INVALID_PATH = "INVALID_PATH"
    INVALID_BODY = "INVALID_BODY"
    INVALID_QUERY_PARAMETERS = "INVALID_QUERY_PARAMETERS"
    INVALID_QUERY_PARAM = "INVALID_QUERY_PARAM"
    INVALID_PATH_PARAMETERS = "INVALID_PATH_PARAMETERS"
    INVALID_FILE_ID = "INVALID_FILE_ID"
    LIMIT_TOO_LARGE = "LIMIT_TOO_LARGE"
    LIMIT_INVALID = "LIMIT_INVALID"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    CROSS_ORIGIN_REFUSED = "CROSS_ORIGIN_REFUSED"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    RATE_LIMITED = "RATE_LIMITED"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    INVALID_TOKEN_ID = "INVALID_TOKEN_ID"  # noqa: S105 - the word of an error
    TOKEN_CONFLICT = "TOKEN_CONFLICT"  # noqa: S105
    INTERNAL_ERROR = "INTERNAL_ERROR"
    ADMIN_API_UNREACHABLE = "ADMIN_API_UNREACHABLE"
    UNEXPECTED_ANSWER = "UNEXPECTED_ANSWER"

    # Jobs and workers
    INVALID_JOB_ID = "INVALID_JOB_ID"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    JOB_CONFLICT = "JOB_CONFLICT"
    ACTIVE_JOB_CONFLICT = "ACTIVE_JOB_CONFLICT"
    EVENT_NOT_FOUND = "EVENT_NOT_FOUND"
    DEPENDENCY_NOT_FOUND = "DEPENDENCY_NOT_FOUND"
    DEPENDENCY_CYCLE = "DEPENDENCY_CYCLE"
    INVALID_SCHEDULE = "INVALID_SCHEDULE"
    WORKER_NOT_FOUND = "WORKER_NOT_FOUND"
    UNKNOWN_JOB_KIND = "UNKNOWN_JOB_KIND"
    INVALID_JOB_INPUT = "INVALID_JOB_INPUT"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    LEASE_LOST = "LEASE_LOST"
    HANDLER_FAILED = "HANDLER_FAILED"
    HANDLER_CRASHED = "HANDLER_CRASHED"
    JOB_DATA_INVALID = "JOB_DATA_INVALID"
    POISONOUS_JOB = "POISONOUS_JOB"
    HTTP_CALL_FAILED = "HTTP_CALL_FAILED"
    HTTP_STATUS_REFUSED = "HTTP_STATUS_REFUSED"
    HTTP_ADDRESS_REFUSED = "HTTP_ADDRESS_REFUSED"

    # Webhooks
    INVALID_WEBHOOK_ID = "INVALID_WEBHOOK_ID"
    INVALID_WEBHOOK = "INVALID_WEBHOOK"
    WEBHOOK_NOT_FOUND = "WEBHOOK_NOT_FOUND"
    WEBHOOK_CONFLICT = "WEBHOOK_CONFLICT"
    WEBHOOK_DISABLED = "WEBHOOK_DISABLED"
    DELIVERY_NOT_FOUND = "DELIVERY_NOT_FOUND"
    WEBHOOK_REFUSED = "WEBHOOK_REFUSED"
    WEBHOOK_UNREACHABLE = "WEBHOOK_UNREACHABLE"
    WEBHOOK_TIMED_OUT = "WEBHOOK_TIMED_OUT"
    WEBHOOK_ADDRESS_REFUSED = "WEBHOOK_ADDRESS_REFUSED"

    # Worker events
    EVENTS_DISABLED = "EVENTS_DISABLED"
    EVENTS_EXPIRED = "EVENTS_EXPIRED"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    EVENT_BROKER_FAILED = "EVENT_BROKER_FAILED"

    # Datasets, manifests, providers
    INVALID_PAYLOAD_FORMAT = "INVALID_PAYLOAD_FORMAT"
    INVALID_MANIFEST = "INVALID_MANIFEST"
    MANIFEST_VALIDATION_ERROR = "MANIFEST_VALIDATION_ERROR"
    MANIFEST_NOT_FOUND = "MANIFEST_NOT_FOUND"
    INVALID_HASH = "INVALID_HASH"
    MANIFEST_LINKED = "MANIFEST_LINKED"
    INVALID_REFERENCE = "INVALID_REFERENCE"
    DATASET_NOT_FOUND = "DATASET_NOT_FOUND"
    CANNOT_DELETE_LATEST_VERSION = "CANNOT_DELETE_LATEST_VERSION"
    INVALID_REQUEST_BODY = "INVALID_REQUEST_BODY"
    INVALID_PROVIDER_NAME = "INVALID_PROVIDER_NAME"
    INVALID_PROVIDER = "INVALID_PROVIDER"
    PROVIDER_NOT_FOUND = "PROVIDER_NOT_FOUND"

    # Extraction: what a node answered
    NODE_UNREACHABLE = "NODE_UNREACHABLE"
    NODE_REFUSED_ACCESS = "NODE_REFUSED_ACCESS"
    NODE_RATE_LIMITED = "NODE_RATE_LIMITED"
    NODE_ANSWERED_ERROR = "NODE_ANSWERED_ERROR"
    NODE_ANSWER_NOT_JSON = "NODE_ANSWER_NOT_JSON"
    NODE_ANSWER_MALFORMED = "NODE_ANSWER_MALFORMED"
    NODE_METHOD_UNSUPPORTED = "NODE_METHOD_UNSUPPORTED"
    NETWORK_MISMATCH = "NETWORK_MISMATCH"
    BLOCK_NOT_AVAILABLE = "BLOCK_NOT_AVAILABLE"
    RECEIPTS_NOT_AVAILABLE = "RECEIPTS_NOT_AVAILABLE"
    BLOCK_NUMBER_MISMATCH = "BLOCK_NUMBER_MISMATCH"
    PARENT_HASH_MISMATCH = "PARENT_HASH_MISMATCH"
    RECEIPT_COUNT_MISMATCH = "RECEIPT_COUNT_MISMATCH"
    RECEIPT_BLOCK_MISMATCH = "RECEIPT_BLOCK_MISMATCH"
    RECEIPT_ORDER_MISMATCH = "RECEIPT_ORDER_MISMATCH"
    TRANSACTION_ORDER_MISMATCH = "TRANSACTION_ORDER_MISMATCH"
    LOG_INDEX_MISMATCH = "LOG_INDEX_MISMATCH"
    LOG_REMOVED = "LOG_REMOVED"
    BLOCK_VERIFICATION_FAILED = "BLOCK_VERIFICATION_FAILED"
    RESOLVE_END_BLOCK = "RESOLVE_END_BLOCK"

    # The lake
    DATA_STORE_NOT_FOUND = "DATA_STORE_NOT_FOUND"
    DATA_STORE_NOT_READABLE = "DATA_STORE_NOT_READABLE"
    DATA_STORE_NOT_WRITABLE = "DATA_STORE_NOT_WRITABLE"
    DATA_STORE_FULL = "DATA_STORE_FULL"
    DATA_STORE_UNREACHABLE = "DATA_STORE_UNREACHABLE"
    DATA_STORE_SLOW = "DATA_STORE_SLOW"
    DATA_STORE_CONFLICT = "DATA_STORE_CONFLICT"
    DATA_STORE_UNSAFE = "DATA_STORE_UNSAFE"
    DATA_STORE_ERROR = "DATA_STORE_ERROR"
    RANGE_ALREADY_COMMITTED = "RANGE_ALREADY_COMMITTED"
    VERIFICATION_FAILED = "VERIFICATION_FAILED"
    TABLE_NOT_IN_MANIFEST = "TABLE_NOT_IN_MANIFEST"
    TABLE_NOT_REGISTERED = "TABLE_NOT_REGISTERED"
    TABLE_NOT_FOUND = "TABLE_NOT_FOUND"
    REVISION_NOT_FOUND = "REVISION_NOT_FOUND"
    REVISION_CONFLICT = "REVISION_CONFLICT"
    REVISION_IS_ACTIVE = "REVISION_IS_ACTIVE"
    WRITER_JOB_NOT_TERMINAL = "WRITER_JOB_NOT_TERMINAL"
    FILE_METADATA_REMAINING = "FILE_METADATA_REMAINING"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    RESTORE_NOT_FOUND = "RESTORE_NOT_FOUND"


class AmpError(Exception):
    """An error with a code, a message for people, and what a program may want to know.

    ``message`` names the thing and the mend, never a secret. ``recoverable`` says whether trying again later can help
    (it decides between a retry and FAILED for a job), ``retry_after_seconds`` not before when, if somebody asked for
    that. ``context`` holds JSON values.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        recoverable: bool = False,
        context: dict[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.recoverable = recoverable
        self.context = context or {}
        self.retry_after_seconds = retry_after_seconds

    def to_json(self) -> dict[str, Any]:
        """Return the error detail of a job: ``error_code``, ``error_message`` and, when there is any,
        ``error_context``.
        """
        detail: dict[str, Any] = {"error_code": str(self.code), "error_message": self.message}
        if self.context:
            detail["error_context"] = self.context
        return detail


def describe_exception(error: BaseException) -> str:
    """Return ``error`` and its causes on one line, for logs and for messages of errors that nobody expected."""
    parts = []
    current: BaseException | None = error
    while current is not None:
        parts.append(str(current) or type(current).__name__)
        current = current.__cause__
    return ": ".join(dict.fromkeys(parts))
