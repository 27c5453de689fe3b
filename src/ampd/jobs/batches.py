"""Writes that come together are written together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import psycopg

Item = TypeVar("Item")
Result = TypeVar("Result")
# So many that one statement does not keep others waiting for long.
MOST = 500


class Batcher(Generic[Item, Result]):
    """Turns single calls into batches: what is submitted while a batch is being written makes up the next one.

    A call that comes alone is written at once. ``write`` gets the items and returns a result for each, in their order.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._write = write
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Have ``item`` written, and return its result.

        A caller that is cancelled meanwhile does not take its item back: it may be written all the same.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(), name="batcher")
        return await future

    async def _write_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST))]
            try:
                await self._write_batch(batch)
            except BaseException as error:  # the end of the loop: nobody is left to wait for ever
                _fail([*batch, *self._waiting], error)
                self._waiting.clear()
                raise

    async def _write_batch(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except psycopg.DataError as error:
            # One of them holds what the database cannot keep: it must not take the others with it.
            if len(batch) == 1:
                _fail(batch, error)
                return
            for each in batch:
                await self._write_batch([each])
        except Exception as error:  # every caller gets it
            _fail(batch, error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(batch: Sequence[tuple[Item, asyncio.Future[Result]]], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
