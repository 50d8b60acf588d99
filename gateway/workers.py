"""Work on many things at once, within a bound: the first error ends it all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def each_of(
    items: Iterable[Item] | AsyncIterable[Item], do: Callable[[Item], Awaitable[None]], *, at_once: int
) -> None:
    """Do it with every item, in any order, never with more than `at_once` of them at a time.

    An item is taken when somebody is free for it. The first error is raised; what was begun beside it is cancelled,
    and nothing else is begun.
    """
    waiting = _one_by_one(items)
    turn = asyncio.Lock()

    async def work() -> None:
        while True:
            async with turn:  # an asynchronous generator can't be asked by two at once
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
    """A group of tasks that ends as a whole: the first error cancels the others, and is raised as it is."""
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
