"""How much is asked of a node at a time: laws of the numbers that adapt, of rate limits, slots and bytes under way."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampd.sources.evm_rpc.limits import Aimd, ByteGate, Slots, TokenBucket
from support.virtual_time import run_in_virtual_time


@given(
    ceiling=st.integers(-2, 300),
    steps=st.lists(st.none() | st.just(True) | st.integers(-5, 400), max_size=60),
)
def test_an_adaptive_number_stays_between_one_and_its_ceiling(ceiling: int, steps: list[int | bool | None]) -> None:
    number = Aimd(ceiling)
    for step in steps:
        before = number.value
        if step is True:
            number.grow()
            assert number.value in (before, before + 1)
        elif number.shrink(step):
            assert number.value < before or before == 1
        else:
            assert before == 1
        assert 1 <= number.value <= max(1, ceiling)


@pytest.mark.parametrize(("suggested", "left"), [(None, 8), (5, 5), (16, 8), (100, 8), (0, 1)])
def test_a_suggestion_that_does_not_shrink_is_replaced_by_half(suggested: int | None, left: int) -> None:
    number = Aimd(16)
    assert number.shrink(suggested)
    assert number.value == left


def test_an_adaptive_number_grows_by_one_after_as_many_successes_as_it_is_large() -> None:
    number = Aimd(16)
    number.shrink()
    for _ in range(9):
        number.grow()
    assert number.value == 9


@given(
    rate=st.floats(0.5, 1000),
    requests=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), min_size=1, max_size=60),
)
def test_no_more_units_pass_in_any_window_than_the_rate_and_one_burst(
    rate: float, requests: list[tuple[float, int]]
) -> None:
    bucket, now, passed = TokenBucket(rate), 0.0, []
    for pause, units in requests:
        now += pause
        passed.append((now + bucket.reserve(units, now), units))
    burst, largest = max(1.0, rate), max(units for _, units in requests)
    for start, _ in passed:
        for end, _ in passed:
            used = sum(units for at, units in passed if start <= at <= end)
            assert start > end or used <= rate * (end - start) + burst + largest + 1e-6


def test_a_bucket_lets_everything_through_that_is_slow_enough() -> None:
    bucket = TokenBucket(10.0)
    assert [bucket.reserve(1, second / 10) for second in range(100)] == [0.0] * 100


def test_a_lower_allowance_slows_a_bucket_and_a_higher_one_does_not() -> None:
    bucket = TokenBucket(10.0)
    bucket.slow_to(20.0)
    assert bucket.per_second == 10.0
    bucket.slow_to(2.0)
    assert [round(bucket.reserve(1, 0.0), 3) for _ in range(4)] == [0.0, 0.0, 0.5, 1.0]


def test_no_more_hold_a_slot_than_the_limit_of_that_moment_says() -> None:
    limit = Aimd(6)
    slots = Slots(limit)
    most: list[int] = []

    async def hold() -> None:
        async with slots.one():
            most.append(slots.held)
            await asyncio.sleep(1)

    async def main() -> None:
        tasks = [asyncio.create_task(hold()) for _ in range(20)]
        await asyncio.sleep(0.5)
        limit.shrink()
        tasks[10].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_in_virtual_time(main())
    assert slots.held == 0
    assert len(most) == 19
    assert max(most[6:]) <= 3


@given(cancelled=st.sets(st.integers(0, 11)), moment=st.floats(0, 4))
def test_no_slot_is_lost_whoever_is_cancelled(cancelled: set[int], moment: float) -> None:
    slots = Slots(Aimd(3))

    async def hold() -> None:
        async with slots.one():
            await asyncio.sleep(1)

    async def main() -> None:
        tasks = [asyncio.create_task(hold()) for _ in range(12)]
        await asyncio.sleep(moment)
        for position in cancelled:
            tasks[position].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(hold() for _ in range(3)))

    run_in_virtual_time(main())
    assert (slots.held, slots.load) == (0, 0)


def test_answers_under_way_are_as_many_as_fit_and_a_huge_one_passes_alone() -> None:
    gate = ByteGate(100)
    under_way: set[int] = set()
    seen: list[int] = []

    async def answer(number: int, size: int) -> None:
        async with gate.room():
            under_way.add(number)
            seen.append(len(under_way))
            await asyncio.sleep(1)
            gate.learn(size)
            under_way.remove(number)

    async def main() -> None:
        await answer(0, 40)
        await asyncio.gather(*(answer(number, 40) for number in range(6)))
        assert max(seen) == 2
        seen.clear()
        await answer(0, 1000)
        await asyncio.gather(*(answer(number, 1000) for number in range(4)))
        assert max(seen) == 1

    run_in_virtual_time(main())
