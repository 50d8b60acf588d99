"""Waits for what happens in other processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(happened: Callable[[], Awaitable[bool] | bool], seconds: float = 60.0) -> None:
    """Return as soon as it happened; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while True:
            answer = happened()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


def until_now(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    """The same without a loop."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
