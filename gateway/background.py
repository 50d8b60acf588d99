"""Jobs that live as long as the gateway: each has a name, a stop, a deadline, and shows in the health."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Protocol

from gateway.errors import Unavailable

log = logging.getLogger(__name__)


class Job(Protocol):
    """Works until `stopping` is set; calls `progress` whenever it has shown that it works."""

    async def __call__(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None: ...


class Health:
    """The troubles of the gateway by the name of what is in trouble. Empty: ready."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self._recovery = asyncio.Event()

    @property
    def recovery(self) -> asyncio.Event:
        """Set when the next trouble ends: what failed because of it may work now."""
        return self._recovery

    def trouble(self, name: str, sentence: str) -> None:
        self.troubles[name] = sentence

    def recovered(self, name: str) -> bool:
        """Says whether there was a trouble."""
        had_trouble = self.troubles.pop(name, None) is not None
        if had_trouble:
            self._recovery.set()
            self._recovery = asyncio.Event()
        return had_trouble


@contextlib.asynccontextmanager
async def kept_running(
    name: str,
    job: Job,
    health: Health,
    *,
    grace_seconds: float = 10.0,
    first_delay_seconds: float = 0.5,
    last_delay_seconds: float = 3.0,
) -> AsyncIterator[None]:
    """Run a job, until the block is left. If it fails it is run again after the delay, or once another is well again.

    A failure is loud (log, health) but local: the sites stay up while it heals. An engine that is away is logged once
    for each thing it says. On leaving, the job has `grace_seconds` to finish its batch; then it is cancelled.
    """
    stopping = asyncio.Event()
    delay = first_delay_seconds

    def progress() -> None:
        nonlocal delay
        delay = first_delay_seconds
        if health.recovered(name):
            log.info("%s works again", name)

    async def run() -> None:
        nonlocal delay
        while not stopping.is_set():
            try:
                await job(stopping=stopping, progress=progress)
                if not stopping.is_set():
                    raise RuntimeError("ended without being asked to")
            except Unavailable as error:
                if health.troubles.get(name) != error.sentence:  # an hour without an engine is not a thousand lines
                    log.warning("%s waits: %s", name, error.sentence)
                health.trouble(name, error.sentence)
            except Exception as error:  # protects the sites from a job that fails in a way nobody foresaw
                log.exception("%s failed, trying again in %.1f s", name, delay)
                health.trouble(name, f"{name} failed and is tried again: {error or type(error).__name__}")
            else:
                continue
            await wait_until_any(stopping, health.recovery, timeout_seconds=delay)
            delay = max(first_delay_seconds, min(delay * 2, last_delay_seconds))

    task = asyncio.create_task(run(), name=name)
    try:
        yield
    finally:
        stopping.set()
        _, unfinished = await asyncio.wait([task], timeout=grace_seconds)
        if unfinished:
            log.error("%s did not stop within %.0f s", name, grace_seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def wait_until(event: asyncio.Event, timeout_seconds: float) -> bool:
    """Wait for the event, no longer than the time limit. Says whether it is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_seconds)
    return event.is_set()


async def wait_until_any(*events: asyncio.Event, timeout_seconds: float) -> None:
    """Wait for the first of the events, no longer than the time limit."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class Since:
    """Since when something has been so, without a break. Forgets what is asked about no more."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[Hashable, float] = {}
        self._asked: set[Hashable] = set()

    def seconds(self, fact: Hashable) -> float:
        self._asked.add(fact)
        return self._clock() - self._seen.setdefault(fact, self._clock())

    def forget_unasked(self) -> None:
        """Call it once all that matters was asked."""
        self._seen = {fact: since for fact, since in self._seen.items() if fact in self._asked}
        self._asked.clear()
