"""Answers of nodes that are in hand have a bound, and nobody waits for ever for those of somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ampd.sources.memory import ByteBudget


class _Piece:
    """A piece that is held until it is let go."""

    def __init__(self, budget: ByteBudget, user: object, size: int | Callable[[], int]) -> None:
        self.is_held = False
        self._end = asyncio.Event()
        self._size = size if callable(size) else lambda: size
        self.task = asyncio.create_task(self._hold(budget, user))

    async def _hold(self, budget: ByteBudget, user: object) -> None:
        async with budget.hold(user, self._size):
            self.is_held = True
            await self._end.wait()
        self.is_held = False

    async def let_go(self) -> None:
        self._end.set()
        await self.task


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_pieces_are_held_in_turn_as_long_as_there_is_room() -> None:
    budget = ByteBudget(100)
    pieces = [_Piece(budget, "one", size) for size in (60, 60, 30)]
    await _settle()
    assert [piece.is_held for piece in pieces] == [True, False, False]  # the last one fits, and has to wait its turn
    await pieces[0].let_go()
    await _settle()
    assert [piece.is_held for piece in pieces] == [False, True, True]
    assert budget.held_bytes == 90
    for piece in pieces[1:]:
        await piece.let_go()
    assert budget.held_bytes == 0


async def test_each_user_may_hold_one_piece_however_large() -> None:
    budget = ByteBudget(100)
    pieces = [_Piece(budget, user, 300) for user in ("one", "other", "one")]
    await _settle()
    assert [piece.is_held for piece in pieces] == [True, True, False]
    await pieces[0].let_go()
    await _settle()
    assert pieces[2].is_held
    for piece in pieces[1:]:
        await piece.let_go()


async def test_the_size_of_a_piece_is_what_is_known_when_its_turn_comes() -> None:
    budget = ByteBudget(100)
    size = 80
    pieces = [_Piece(budget, "one", lambda: size) for _ in range(3)]
    await _settle()
    assert [piece.is_held for piece in pieces] == [True, False, False]
    size = 10
    await pieces[0].let_go()
    await _settle()
    assert [piece.is_held for piece in pieces] == [False, True, True]
    for piece in pieces[1:]:
        await piece.let_go()


async def test_what_is_not_wanted_any_more_holds_nobody_up() -> None:
    budget = ByteBudget(100)
    pieces = [_Piece(budget, "one", size) for size in (60, 90, 30)]
    await _settle()
    pieces[1].task.cancel()
    await _settle()
    assert pieces[2].is_held
    pieces[0].task.cancel()
    await asyncio.gather(pieces[0].task, pieces[1].task, return_exceptions=True)
    await pieces[2].let_go()
    assert budget.held_bytes == 0
