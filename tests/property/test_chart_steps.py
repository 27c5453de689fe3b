"""The steps of charts, and the durations that are counted in them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from math import ceil, floor, log2
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampd.admin_api.bodies.overview_present import MOST_POINTS, steps_until
from ampd.jobs import JobTrend

MINUTE: Final = 60


@given(st.integers(0, 2**33), st.integers(5, 10_080))
def test_the_last_step_has_the_last_minute_that_is_over(now: int, minutes: int) -> None:
    since, step, points = steps_until(datetime.fromtimestamp(now, UTC), minutes)
    assert points <= MOST_POINTS
    assert points * step >= minutes * MINUTE
    assert since % step == 0
    last = since + (points - 1) * step
    assert last <= now // MINUTE * MINUTE - MINUTE < last + step


@given(st.lists(st.floats(0.001, 1e6), min_size=1), st.floats(0, 1))
def test_a_duration_is_told_with_an_error_of_a_twentieth_at_most(seconds: list[float], share: float) -> None:
    steps = Counter(floor(8 * log2(each)) for each in seconds)
    told = JobTrend(0, 0, steps).duration(share)
    exact = sorted(seconds)[max(0, ceil(share * len(seconds)) - 1)]
    assert told == pytest.approx(exact, rel=0.05)
