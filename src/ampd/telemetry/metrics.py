"""Metrics of this process for Prometheus: declared once, each with its meaning, and told on demand.

What is counted is declared in the modules ``*_metrics`` beside this one; docs/reference/metrics.md is written from
their declarations. A label never holds the id of a job, a key, or a text that others choose: what it can be is bounded
by what an operator has registered.

Nothing here is imported by ``ampd.telemetry``: commands that only ask the Admin API do not pay for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

# When a series began is of no use to rate(), and doubles the page.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

SECONDS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
MILLISECONDS: Final = (5.0, 20.0, 50.0, 100.0, 250.0, 1000.0, 5000.0, 30_000.0)


@dataclass(frozen=True)
class Declared:
    """A metric as the reference page shows it; ``name`` is that of its samples (``_bucket`` and the like aside)."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


DECLARED: Final[list[Declared]] = []


def _declare(name: str, kind: str, labels: Sequence[str], meaning: str) -> None:
    DECLARED.append(Declared(name, kind, tuple(labels), meaning))


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    """Return a counter; ``name`` ends with ``_total``."""
    _declare(name, "counter", labels, meaning)
    return Counter(name, meaning, labels, registry=REGISTRY)


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    """Return a gauge."""
    _declare(name, "gauge", labels, meaning)
    return Gauge(name, meaning, labels, registry=REGISTRY)


def histogram(name: str, meaning: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = SECONDS) -> Histogram:
    """Return a histogram, with the upper bounds of its buckets in the unit of its name."""
    _declare(name, "histogram", labels, meaning)
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=buckets)


class GaugeFamily:
    """A gauge whose values are read when somebody asks, all of them anew: what is gone has no series any more."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        _declare(name, "gauge", labels, meaning)
        self.name = name
        self._meaning = meaning
        self._labels = labels

    def of(self, values: Iterable[tuple[Sequence[str], float]]) -> Metric:
        """Return the family with a value for each list of labels."""
        family = GaugeMetricFamily(self.name, self._meaning, labels=self._labels)
        for labels, value in values:
            family.add_metric(labels, value)
        return family

    def one(self, value: float) -> Metric:
        """Return the family without labels."""
        return self.of([((), value)])


@contextmanager
def timed(series: Histogram) -> Iterator[None]:
    """Observe the seconds that the block takes, when it ends well."""
    started = time.perf_counter()
    yield
    series.observe(time.perf_counter() - started)


class _Together(Collector):
    """This process's metrics, and families that were read for one answer."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()
        yield from self._families


def exposition(accept: str | None, families: Sequence[Metric] = ()) -> tuple[bytes, str]:
    """Return the page for a scraper that accepts the formats of a header ``Accept``, and its content type."""
    encode, content_type = choose_encoder(accept or "")
    return encode(_Together(families)), content_type
