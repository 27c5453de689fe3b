"""Traces (OpenTelemetry), off unless the configuration names a collector: until then nothing of OpenTelemetry is
imported, and a span is an empty block.

Attributes of spans hold ids, numbers and names; an error is told by its code and its text without secrets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from ampd.errors import AmpError
from ampd.telemetry.logs import SURROUNDINGS, redact_text

if TYPE_CHECKING:
    from ampd.telemetry.otlp import Exporting

_OFF: Final[AbstractContextManager[None]] = nullcontext()
_exporting: Exporting | None = None


def begin_traces(url: str, *, ratio: float, component: str, instance: str, version: str) -> None:
    """Send the spans of this process to the OTLP/HTTP collector at ``url``: of ``ratio`` (0 to 1) of all traces."""
    # OpenTelemetry takes a tenth of a second to import: only those who want it pay.
    from ampd.telemetry.otlp import Exporting  # noqa: PLC0415

    global _exporting  # noqa: PLW0603 - one per process, as loggers are
    resource = {"service.name": f"ampd-{component}", "service.instance.id": instance, "service.version": version}
    _exporting = Exporting(url, ratio=ratio, resource=resource)
    SURROUNDINGS.append(trace_ids)


def end_traces() -> None:
    """Send what is left, for two seconds at most, and trace no more. Blocks meanwhile."""
    global _exporting
    exporting, _exporting = _exporting, None
    if exporting is not None:
        SURROUNDINGS.remove(trace_ids)
        exporting.close()


def span(name: str, **attributes: Any) -> AbstractContextManager[Any]:
    """Trace the block, as part of what is being traced around it. Attributes that are None are left out."""
    if _exporting is None:
        return _OFF
    return _current(_exporting.start(name, attributes))


def request_span(name: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]:
    """Trace the answer to a request, as part of the trace that its header ``traceparent`` names. Gives the span, or
    None when nothing is traced.
    """
    if _exporting is None:
        return _OFF
    return _current(_exporting.start_request(name, headers))


def here() -> Any:
    """Return what is being traced now, for a :class:`LongSpan` to name."""
    return None if _exporting is None else _exporting.here()


class LongSpan:
    """Work that several tasks do parts of. It is a trace of its own, which names what it belongs to (:func:`here`): the
    attempt of a job may last for months, and is told when it ends.
    """

    def __init__(self, name: str, of: Any, **attributes: Any) -> None:
        self._span: Any = None if _exporting is None else _exporting.start_root(name, of, attributes)

    def part(self) -> AbstractContextManager[Any]:
        """Return a block whose spans are parts of this one."""
        if self._span is None or _exporting is None:
            return _OFF
        return _exporting.use(self._span)

    def end(self, error: BaseException | None = None) -> None:
        """It is over; a second time does nothing."""
        ended, self._span = self._span, None
        if ended is not None:
            _tell(ended, error)
            ended.end()


def trace_ids() -> dict[str, str]:
    """Return ``trace_id`` and ``span_id`` of what is being traced, for logs; nothing when nothing is."""
    return {} if _exporting is None else _exporting.ids()


@contextmanager
def _current(begun: Any) -> Iterator[Any]:
    exporting = _exporting
    if exporting is None:  # it ended in between
        yield None
        return
    try:
        with exporting.use(begun):
            yield begun
    except BaseException as error:
        _tell(begun, error)
        raise
    finally:
        begun.end()


def _tell(ended: Any, error: BaseException | None) -> None:
    if error is None:
        return
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        ended.set_attribute("ampd.cancelled", True)
        return
    code = str(error.code) if isinstance(error, AmpError) else type(error).__name__
    ended.set_attribute("error.type", code)
    # Imported long ago: there is a span.
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

    ended.set_status(Status(StatusCode.ERROR, redact_text(str(error))[:500]))
