"""Work beside requests: jobs that live as long as the gateway and appear in the health, and many items at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Hashable, Iterable
from typing import Protocol, TypeVar

from gateway.errors import Unavailable

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class Job(Protocol):
    """Works until `stopping` is set. Calls `progress` after each piece of work that succeeded."""

    async def __call__(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None: ...


class Health:
    """What does not work at present: a sentence by the name of its job or engine. Empty means ready."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self._recovery = asyncio.Event()

    @property
    def recovery(self) -> asyncio.Event:
        """Set when the next trouble ends: what failed because of that trouble may work now."""
        return self._recovery

    def trouble(self, name: str, sentence: str) -> None:
        self.troubles[name] = sentence

    def recovered(self, name: str) -> bool:
        """Removes the trouble. True if there was one."""
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
    """Run a job until the block is left. A job that fails runs again after a delay, or as soon as another trouble has
    ended.

    A failure is loud (log, health) but local: the sites stay up meanwhile. An engine that is away is logged once for
    each different sentence. On leaving, the job has `grace_seconds` to finish its batch; then it is cancelled.
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
                if health.troubles.get(name) != error.sentence:
                    # An engine that is away for an hour must not write a thousand lines.
                    log.warning("%s waits: %s", name, error.sentence)
                health.trouble(name, error.sentence)
            except Exception as error:  # protects the sites from an unforeseen failure of a job
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
    """Wait for the event, at most this long. True if it is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_seconds)
    return event.is_set()


async def wait_until_any(*events: asyncio.Event, timeout_seconds: float) -> None:
    """Wait for the first of the events, at most this long."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def repeat(
    work: Callable[[], Awaitable[None]],
    woken: asyncio.Event,
    seconds: float,
    *,
    stopping: asyncio.Event,
    progress: Callable[[], None],
) -> None:
    """Call `work` until stopped, this long after it ended or as soon as `woken` is set. Its errors are raised."""
    while not stopping.is_set():
        woken.clear()
        await work()
        progress()
        await wait_until_any(stopping, woken, timeout_seconds=seconds)


class Since:
    """For how long each fact has been true without a break. A fact that is not asked about is forgotten."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[Hashable, float] = {}
        self._asked: set[Hashable] = set()

    def seconds(self, fact: Hashable) -> float:
        self._asked.add(fact)
        return self._clock() - self._seen.setdefault(fact, self._clock())

    def forget_unasked(self) -> None:
        """Forget the facts that were not asked about since the last call."""
        self._seen = {fact: since for fact, since in self._seen.items() if fact in self._asked}
        self._asked.clear()


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
