"""Batches of writes: what is gathered, what is written when, and who hears of a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from ampd.jobs.batches import MOST, Batcher

WRITERS_AT_ONCE = "a batch was written while another one was"


class Writer:
    """Writes what the test lets it write: each write waits for a permit. The result of an item is the item, negated."""

    def __init__(self, *, permits: int = 0) -> None:
        self.batches: list[list[int]] = []
        self.errors: dict[int, BaseException] = {}
        self._permits = asyncio.Semaphore(permits)
        self._begun = asyncio.Condition()
        self._is_writing = False

    async def write(self, items: Sequence[int]) -> list[int]:
        assert not self._is_writing, WRITERS_AT_ONCE
        self._is_writing = True
        try:
            self.batches.append(list(items))
            async with self._begun:
                self._begun.notify_all()
            await self._permits.acquire()
            for item in items:
                if item in self.errors:
                    raise self.errors[item]
            return [-item for item in items]
        finally:
            self._is_writing = False

    def allow(self, writes: int = 1) -> None:
        for _ in range(writes):
            self._permits.release()

    async def until_begun(self, batches: int) -> None:
        """Wait until so many batches have been begun."""
        async with asyncio.timeout(5), self._begun:
            await self._begun.wait_for(lambda: len(self.batches) >= batches)


def submit(batcher: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.submit(item)) for item in items]


async def test_a_call_that_comes_alone_is_written_at_once() -> None:
    writer = Writer(permits=2)
    batcher = Batcher(writer.write)
    assert await batcher.submit(1) == -1
    assert await batcher.submit(2) == -2
    assert writer.batches == [[1], [2]]


async def test_calls_of_one_moment_are_one_batch_in_their_order() -> None:
    writer = Writer(permits=1)
    batcher = Batcher(writer.write)
    assert await asyncio.gather(*submit(batcher, 3, 1, 2)) == [-3, -1, -2]
    assert writer.batches == [[3, 1, 2]]


async def test_what_comes_while_a_batch_is_written_makes_up_the_next_one() -> None:
    writer = Writer()
    batcher = Batcher(writer.write)
    first = submit(batcher, 1)
    await writer.until_begun(1)
    second = submit(batcher, 2, 3)
    await asyncio.sleep(0)
    third = submit(batcher, 4)
    await asyncio.sleep(0)
    assert writer.batches == [[1]]
    writer.allow()
    assert await asyncio.gather(*first) == [-1]
    await writer.until_begun(2)
    assert writer.batches == [[1], [2, 3, 4]]
    fourth = submit(batcher, 5)
    writer.allow(2)
    assert await asyncio.gather(*second, *third, *fourth) == [-2, -3, -4, -5]
    assert writer.batches == [[1], [2, 3, 4], [5]]


async def test_a_call_that_comes_from_a_caller_who_has_just_been_answered_is_not_forgotten() -> None:
    """The last moment of a batch: its callers wake up while the writing task ends."""
    writer = Writer(permits=100)
    batcher = Batcher(writer.write)

    async def one_after_the_other(first: int) -> list[int]:
        return [await batcher.submit(item) for item in range(first, first + 10)]

    answers = await asyncio.wait_for(asyncio.gather(one_after_the_other(1), one_after_the_other(101)), 5)
    assert list(answers) == [[-item for item in range(1, 11)], [-item for item in range(101, 111)]]
    assert sorted(item for batch in writer.batches for item in batch) == [*range(1, 11), *range(101, 111)]


async def test_a_crowd_is_written_in_portions_that_are_not_too_large() -> None:
    writer = Writer(permits=3)
    batcher = Batcher(writer.write)
    count = 2 * MOST + 1
    assert await asyncio.gather(*submit(batcher, *range(count))) == [-item for item in range(count)]
    assert [len(batch) for batch in writer.batches] == [MOST, MOST, 1]


async def test_an_item_that_the_database_cannot_keep_fails_alone() -> None:
    writer = Writer(permits=10)
    writer.errors = {2: psycopg.DataError("a NUL"), 4: psycopg.errors.UntranslatableCharacter("half a pair")}
    batcher = Batcher(writer.write)
    answers = await asyncio.gather(*submit(batcher, 1, 2, 3, 4, 5), return_exceptions=True)
    assert answers == [-1, writer.errors[2], -3, writer.errors[4], -5]
    assert writer.batches == [[1, 2, 3, 4, 5], [1], [2], [3], [4], [5]]


async def test_after_a_bad_item_the_batcher_goes_on() -> None:
    writer = Writer(permits=10)
    writer.errors = {1: psycopg.DataError("a NUL")}
    batcher = Batcher(writer.write)
    with pytest.raises(psycopg.DataError, match="a NUL"):
        await batcher.submit(1)
    assert writer.batches == [[1]], "a bad item that comes alone was written twice"
    assert await batcher.submit(2) == -2


@pytest.mark.parametrize("error", [OSError("away"), psycopg.OperationalError("away"), ValueError("a defect")])
async def test_any_other_error_reaches_every_caller_of_the_batch_and_nobody_else(error: Exception) -> None:
    writer = Writer()
    writer.errors = {2: error}
    batcher = Batcher(writer.write)
    before = submit(batcher, 1)
    await writer.until_begun(1)
    together = submit(batcher, 2, 3)
    writer.allow()
    await writer.until_begun(2)
    after = submit(batcher, 4)
    writer.allow(2)
    answers = await asyncio.gather(*before, *together, *after, return_exceptions=True)
    assert answers == [-1, error, error, -4]
    assert writer.batches == [[1], [2, 3], [4]], "a batch that failed for all was written again"


async def test_an_error_of_a_repeated_item_does_not_reach_those_that_were_written_one_by_one() -> None:
    """The batch is taken apart for a bad item; while it is written item by item, the database goes away for one."""
    writer = Writer(permits=10)
    writer.errors = {1: psycopg.DataError("a NUL"), 3: psycopg.OperationalError("away")}
    batcher = Batcher(writer.write)
    answers = await asyncio.gather(*submit(batcher, 1, 2, 3, 4), return_exceptions=True)
    assert answers == [writer.errors[1], -2, writer.errors[3], -4]


async def test_a_write_that_answers_for_too_few_is_an_error_for_all_of_the_batch() -> None:
    async def forgetful(items: Sequence[int]) -> list[int]:
        return [-item for item in items[:-1]]

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # the writing task ends with the error too
    answers = await asyncio.wait_for(asyncio.gather(*submit(Batcher(forgetful), 1, 2), return_exceptions=True), 5)
    assert any(isinstance(answer, ValueError) for answer in answers)
    assert not any(isinstance(answer, asyncio.CancelledError) for answer in answers)


async def test_a_caller_who_is_cancelled_takes_nothing_back_and_holds_nobody_up() -> None:
    writer = Writer()
    batcher = Batcher(writer.write)
    waiting = submit(batcher, 1)
    await writer.until_begun(1)
    leaving, staying = submit(batcher, 2, 3)
    await asyncio.sleep(0)
    waiting[0].cancel()
    leaving.cancel()
    writer.allow(2)
    assert await asyncio.wait_for(staying, 5) == -3
    assert writer.batches == [[1], [2, 3]]
    assert waiting[0].cancelled()
    assert leaving.cancelled()


@pytest.mark.parametrize("error", [psycopg.DataError("a NUL"), OSError("away")])
async def test_an_error_for_a_caller_who_is_cancelled_is_for_the_others_alone(error: Exception) -> None:
    writer = Writer()
    writer.errors = {1: error}
    batcher = Batcher(writer.write)
    leaving, staying = submit(batcher, 1, 2)
    await writer.until_begun(1)
    leaving.cancel()
    writer.allow(3)
    (answer,) = await asyncio.gather(staying, return_exceptions=True)
    assert answer == (-2 if isinstance(error, psycopg.DataError) else error)
    assert leaving.cancelled()


async def test_when_the_writing_task_is_cancelled_all_callers_are_and_later_calls_are_written() -> None:
    writer = Writer()
    batcher = Batcher(writer.write)
    callers = submit(batcher, 1)
    await writer.until_begun(1)
    callers += submit(batcher, 2, 3)
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task(), *callers}:  # as the end of the loop does
        task.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 5)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 3
    writer.allow()
    assert await asyncio.wait_for(batcher.submit(4), 5) == -4
    assert writer.batches == [[1], [4]]


def test_the_end_of_the_loop_ends_a_batch_that_is_being_written() -> None:
    seen: list[BaseException] = []

    async def caller(batcher: Batcher[int, int], item: int) -> None:
        try:
            await batcher.submit(item)
        except BaseException as error:
            seen.append(error)
            raise

    async def main() -> list[asyncio.Task[None]]:
        writer = Writer()
        batcher = Batcher(writer.write)
        tasks = [asyncio.create_task(caller(batcher, 1))]
        await writer.until_begun(1)
        tasks.append(asyncio.create_task(caller(batcher, 2)))
        await asyncio.sleep(0)
        return tasks

    tasks = asyncio.run(main())
    assert all(task.cancelled() for task in tasks)
    assert [type(error) for error in seen] == [asyncio.CancelledError] * 2
