from __future__ import annotations

from ampd.jobs.retry import RetryPolicy, may_retry


def test_delays_double_up_to_the_longest_and_never_overflow() -> None:
    policy = RetryPolicy(initial_delay=1, multiplier=2, max_delay=300, jitter=0)
    assert [policy.delay(count, 0) for count in (1, 2, 3, 9, 10, 100_000)] == [1, 2, 4, 256, 300, 300]


def test_jitter_only_shortens_and_by_no_more_than_its_share() -> None:
    policy = RetryPolicy(initial_delay=8, jitter=0.25)
    assert policy.delay(1, 0.0) == 8
    assert 6 < policy.delay(1, 0.999) < 6.01


def test_no_limit_means_for_ever_and_zero_means_never() -> None:
    assert may_retry(None, 10**9)
    assert may_retry(2, 1)
    assert not may_retry(2, 2)
    assert not may_retry(0, 0)
