"""Runs a kind with a typed input as the engine runs any handler."""

from __future__ import annotations

from collections.abc import Iterable
from traceback import format_exc
from typing import Any, Final

import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.handlers.context import HandlerContext, JobStoppedError
from ampd.handlers.json_values import json_value
from ampd.handlers.kinds import Kind
from ampd.handlers.secrets import merge, scrub
from ampd.jobs import AttemptStore, Completed, JobContext, Lease, LeasedJobs

MOST_RESULT_BYTES: Final = 64 * 1024
_log = structlog.get_logger(__name__)


class TypedHandler:
    """The :class:`ampd.jobs.JobHandler` of a :class:`Kind`."""

    def __init__(self, kind: Kind, attempts: AttemptStore, leased_jobs: LeasedJobs) -> None:
        self._kind = kind
        self._attempts = attempts
        self._leased_jobs = leased_jobs

    async def run(self, context: JobContext) -> bool | Completed:
        """Run the handler with its input; see :class:`ampd.jobs.JobHandler`.

        :raises AmpError: what the handler raises; INVALID_JOB_INPUT; JOB_DATA_INVALID for a result that cannot be kept;
        HANDLER_FAILED, which is tried again, for an error that it did not foresee.
        """
        attempt = await self._attempts.describe(context.lease)
        wanted = self._kind.read(merge(context.input, attempt.secrets))
        given = HandlerContext(
            job_id=context.lease.job_id,
            kind=self._kind.name,
            execution_number=attempt.execution_number,
            attempt=attempt.number,
            labels=attempt.labels,
            checkpoint=attempt.checkpoint,
            stop=context.stop,
            write_progress=lambda said: self._write_progress(context.lease, said),
            write_checkpoint=lambda data: self._attempts.save_checkpoint(context.lease, data),
        )
        secrets = [str(value) for _, value in attempt.secrets]
        try:
            result = await self._kind.run(wanted, given)
            await given.close()
        except JobStoppedError:
            return self._ended_early(context)
        except AmpError as error:
            raise _without(error, secrets) from None
        except Exception as error:
            # Not as exc_info: the trace may tell what the input hides.
            _log.error("handler.failed", kind=self._kind.name, trace=scrub(format_exc(), secrets))
            raise _unforeseen(error, secrets) from None
        finally:
            await _close_quietly(given)
        return Completed(json_value(result, what="the result", most_bytes=MOST_RESULT_BYTES))

    def _ended_early(self, context: JobContext) -> bool:
        if context.stop.is_set():
            return False
        raise AmpError(
            ErrorCode.HANDLER_CRASHED,
            f"the handler of kind {self._kind.name!r} raised JobStoppedError though nobody stopped the job",
        )

    async def _write_progress(self, lease: Lease, said: dict[str, Any]) -> None:
        if not await self._leased_jobs.report_progress(lease, said):
            raise AmpError(
                ErrorCode.LEASE_LOST,
                f"job {lease.job_id} no longer belongs to this worker: its progress was not written",
                recoverable=True,
            )


async def _close_quietly(context: HandlerContext) -> None:
    """The last word of a handler that has failed must not hide why it did."""
    try:
        await context.close()
    except AmpError as error:
        _log.warning("handler.last_progress_lost", error=error.message)


def _without(error: AmpError, secrets: Iterable[str]) -> AmpError:
    """Return ``error`` without what the job's input hides, should its message have it."""
    error.message = scrub(error.message, secrets)
    error.args = (error.message,)
    return error


def _unforeseen(error: Exception, secrets: Iterable[str]) -> AmpError:
    said = scrub(str(error), secrets)[:1000]
    return AmpError(
        ErrorCode.HANDLER_FAILED,
        f"the handler raised {type(error).__name__}: {said}" if said else f"the handler raised {type(error).__name__}",
        recoverable=True,
    )
