"""OpenTelemetry as far as ampd uses it. Imported by :mod:`ampd.telemetry.traces` alone, and only when traces are on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    format_span_id,
    format_trace_id,
    get_current_span,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_EXPORT_SECONDS: Final = 5.0
_LAST_EXPORT_SECONDS: Final = 2.0


class Exporting:
    """Spans on their way to a collector. Its headers, secrets among them, come from ``OTEL_EXPORTER_OTLP_HEADERS``."""

    def __init__(self, url: str, *, ratio: float, resource: Mapping[str, str]) -> None:
        # Left to itself the library would send what is left when the interpreter ends, for as long as that takes.
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create(dict(resource)),
            shutdown_on_exit=False,
        )
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("ampd")

    def start(self, name: str, attributes: Mapping[str, Any]) -> Span:
        """Begin a span inside of the current one."""
        return self._tracer.start_span(name, attributes=_given(attributes))

    def here(self) -> SpanContext:
        """Return the current span's context."""
        return get_current_span().get_span_context()

    def start_root(self, name: str, of: SpanContext | None, attributes: Mapping[str, Any]) -> Span:
        """Begin a trace that names a span of another one."""
        links = [Link(of)] if of is not None and of.is_valid else []
        return self._tracer.start_span(name, context=Context(), links=links, attributes=_given(attributes))

    def start_request(self, name: str, headers: Mapping[str, str]) -> Span:
        """Begin the span of a request that another process has made."""
        context = TraceContextTextMapPropagator().extract(headers, Context())
        return self._tracer.start_span(name, context=context, kind=SpanKind.SERVER)

    def use(self, span: Span) -> AbstractContextManager[Span]:
        """Make ``span`` the current one in a block; what becomes of it is told elsewhere."""
        return use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def ids(self) -> dict[str, str]:
        """Return the ids of the current span in hexadecimal."""
        here = self.here()
        if not here.is_valid:
            return {}
        return {"trace_id": format_trace_id(here.trace_id), "span_id": format_span_id(here.span_id)}

    def close(self) -> None:
        """Send what is left, as far as that is quick: a collector that is away holds up no end."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(_LAST_EXPORT_SECONDS)
        if ending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"ampd.{name}": value for name, value in attributes.items() if value is not None}
