"""Work on many things at once: bounded, complete, and ended as a whole by the first error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.background import each_of, together


class Work:
    """Counts who works at once; with `is_held` everybody waits until cancelled."""

    def __init__(self, *, fails_at: int = -1, is_held: bool = False) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.cancelled: list[int] = []
        self.most_at_once = 0
        self._at_once = 0
        self._fails_at = fails_at
        self._is_held = is_held

    async def __call__(self, item: int) -> None:
        self.begun.append(item)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await self._do(item)
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        self._at_once -= 1
        self.done.append(item)

    async def _do(self, item: int) -> None:
        await asyncio.sleep(0)
        if item == self._fails_at:
            raise LookupError(item)
        if self._is_held:
            await asyncio.Event().wait()


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def test_everything_is_done_once() -> None:
    work = Work()
    await each_of(range(50), work, at_once=4)
    assert sorted(work.done) == list(range(50))


async def test_what_arrives_bit_by_bit_is_done_once() -> None:
    work = Work()
    await each_of(numbers(50), work, at_once=4)
    assert sorted(work.done) == list(range(50))


async def test_never_more_than_the_bound_work_at_once() -> None:
    work = Work()
    await each_of(range(50), work, at_once=4)
    assert work.most_at_once == 4


async def test_nothing_to_do_is_done() -> None:
    work = Work()
    await each_of([], work, at_once=4)
    assert work.begun == []


async def test_the_first_error_is_raised_as_it_is_and_ends_the_others() -> None:
    work = Work(fails_at=1, is_held=True)
    with pytest.raises(LookupError):
        await each_of(range(50), work, at_once=3)
    assert work.begun == [0, 1, 2]
    assert sorted(work.cancelled) == [0, 2]


async def test_an_error_of_the_source_is_raised_as_it_is() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 0
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        await each_of(broken(), Work(is_held=True), at_once=3)


async def test_whoever_is_cancelled_cancels_what_was_begun() -> None:
    work = Work(is_held=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await each_of(range(50), work, at_once=3)
    assert sorted(work.cancelled) == [0, 1, 2]


async def test_an_error_of_a_task_ends_what_waits_beside_it() -> None:
    async def fail() -> None:
        raise LookupError("a task")

    async def wait_beside_it() -> None:
        async with together() as tasks:
            tasks.create_task(fail())
            await asyncio.Event().wait()

    with pytest.raises(LookupError, match="a task"):
        await wait_beside_it()


async def test_an_error_beside_the_tasks_ends_them() -> None:
    work = Work(is_held=True)

    async def fail_beside_it() -> None:
        async with together() as tasks:
            tasks.create_task(work(7))
            await asyncio.sleep(0)
            raise LookupError("beside")

    with pytest.raises(LookupError, match="beside"):
        await fail_beside_it()
    assert work.cancelled == [7]
