"""Works on many items at once, up to a limit. The first error ends everything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def each_of(
    items: Iterable[Item] | AsyncIterable[Item], do: Callable[[Item], Awaitable[None]], *, at_once: int
) -> None:
    """Call `do` with every item, in any order, at most `at_once` at a time.

    An item is taken from the iterator when a worker is free. The first error is raised; the other calls are cancelled,
    and no further item is taken.
    """
    waiting = _one_by_one(items)
    turn = asyncio.Lock()

    async def work() -> None:
        while True:
            async with turn:  # two tasks must not advance an asynchronous generator at once
                try:
                    item = await anext(waiting)
                except StopAsyncIteration:
                    return
            await do(item)

    async with together() as workers:
        for _ in range(at_once):
            workers.create_task(work())


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks that ends as a whole: the first error cancels the others and is raised itself."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group


async def _one_by_one(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
