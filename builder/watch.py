"""Checks repeatedly how much a running command uses, and stops it when that is too much."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from builder.errors import BuildFailed

LOOK_SHARE = 0.05
"""At most this share of the time is spent on checks."""


@contextlib.asynccontextmanager
async def watched(
    is_too_much: Callable[[], bool], sentence: str, stop: Callable[[], Awaitable[None]], pause_seconds: float
) -> AsyncIterator[None]:
    """Call `stop` as soon as `is_too_much`, run in a thread, returns true. The block then ends with BuildFailed."""
    exceeded = asyncio.Event()

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        pause = pause_seconds
        while not exceeded.is_set():
            await asyncio.sleep(pause)
            began = loop.time()
            if await asyncio.to_thread(is_too_much):
                exceeded.set()
                await stop()
            pause = max(pause_seconds, (loop.time() - began) / LOOK_SHARE)

    watcher = asyncio.create_task(watch(), name="watch")
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    if exceeded.is_set():
        raise BuildFailed(sentence)
    if not watcher.cancelled() and (error := watcher.exception()):
        # If the check failed, the limit was not enforced.
        raise error
