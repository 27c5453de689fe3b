"""The pieces of work of an extraction, measured and traced at one place each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, get_args

from ampd.telemetry.extraction_metrics import STAGES
from ampd.telemetry.traces import span

Stage = Literal["fetch", "decode", "verify", "encode", "write", "commit"]
_SERIES: Final = {stage: STAGES.labels(stage) for stage in get_args(Stage)}


@contextmanager
def stage(name: Stage, **attributes: Any) -> Iterator[None]:
    """Observe the seconds that the block takes, when it ends well, and trace it in any case."""
    started = time.perf_counter()
    with span(name, **attributes):
        yield
    _SERIES[name].observe(time.perf_counter() - started)
