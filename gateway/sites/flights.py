"""Combines identical reads at the same time into one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flights(Generic[K, V]):
    """A read continues when its callers leave, so it needs a time limit of its own."""

    def __init__(self) -> None:
        self._by_key: dict[K, asyncio.Task[V]] = {}
        self._tasks: set[asyncio.Task[V]] = set()

    async def share(self, key: K, read: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of the read under way for this key, or of a new one. Raises what the read raises."""
        return await asyncio.shield(self.begin(key, read))

    def begin(self, key: K, read: Callable[[], Coroutine[Any, Any, V]]) -> asyncio.Task[V]:
        task = self._by_key.get(key)
        if task is None:
            task = asyncio.ensure_future(read())
            self._by_key[key] = task
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._land(key, done))
        return task

    def detach(self) -> None:
        """Later callers get a new read; those that already wait still get the old one's result."""
        self._by_key.clear()

    def _land(self, key: K, task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        if self._by_key.get(key) is task:
            del self._by_key[key]
        if not task.cancelled():
            task.exception()  # reads the exception, so that asyncio does not log it if every caller has left
