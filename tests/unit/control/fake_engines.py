"""A log store, an object store and a launcher in memory, which keep the promises of the real ones."""

from __future__ import annotations

import asyncio
import collections
import datetime
import itertools
import uuid

from gateway.errors import Unavailable
from gateway.models.log import LogLine
from gateway.roles import BuilderState
from tests.memory.objects import MemoryObjects
from tests.unit.control.fakes import Clock


class MemoryLogs:
    """Appending twice is harmless. `append_error` is raised by each append while it is set."""

    def __init__(self) -> None:
        self.lines: dict[tuple[uuid.UUID, int], dict[int, str]] = collections.defaultdict(dict)
        self.append_error: Exception | None = None
        self.poison: Exception | None = None
        self.is_away = False
        self.appends = 0
        self.dropped: list[datetime.date] = []

    async def append(self, batches) -> None:
        self.appends += 1
        if self.append_error is not None:
            raise self.append_error
        if self.poison is not None and any(line.text == "poison" for batch in batches for line in batch.lines):
            raise self.poison
        for batch in batches:
            lines = self.lines[batch.deployment_id, batch.attempt]
            lines |= {batch.first_seq + offset: line.text for offset, line in enumerate(batch.lines)}

    async def read(self, deployment_id, after, limit) -> list[LogLine]:
        raise NotImplementedError

    async def missing(self, deployment_id, attempt, last_seq) -> list[tuple[int, int]]:
        if self.is_away:
            raise Unavailable("The log store is away.")
        stored = sorted(seq for seq in self.lines[deployment_id, attempt] if seq <= last_seq)
        edges = [0, *stored, last_seq + 1]
        return [(before + 1, after - 1) for before, after in itertools.pairwise(edges) if after - before > 1]

    async def compact(self, deployment_id) -> int:
        return 0

    async def forget(self, deployment_ids) -> None:
        pass

    async def drop_before(self, day) -> int:
        if self.is_away:
            raise Unavailable("The log store is away.")
        self.dropped.append(day)
        return 0


class BreakingObjects(MemoryObjects):
    """`broken` is raised by whatever `breaks_at` calls later."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__((clock or Clock()).now)
        self.broken: Exception = Unavailable("The object store is away.")
        self.calls_left = float("inf")

    async def exists(self, key) -> bool:
        await asyncio.sleep(0)
        return await super().exists(key)

    def _call(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise self.broken


class FakeLauncher:
    """Builders that run until they are stopped or `kill`ed. The same order finds the same builder."""

    name = "fake"
    needs_sandbox = True
    start_seconds = 0.0

    def __init__(self) -> None:
        self.orders = []
        self.stopped: list[tuple[str, str]] = []
        self.looks: list[list[str]] = []
        self.unsaid: set[str] = set()
        self.running: set[str] = set()
        self.launch_error: Exception | None = None
        self.error: Exception | None = None
        self.on_stop = None

    async def launch(self, order) -> str:
        self.orders.append(order)
        if self.launch_error is not None:
            raise self.launch_error
        handle = f"fake:{order.deployment_id}/{order.attempt}"
        self.running.add(handle)
        return handle

    async def find(self, handles) -> dict[str, BuilderState]:
        if self.error is not None:
            raise self.error
        self.looks.append(list(handles))
        known = [handle for handle in handles if handle not in self.unsaid]
        return {each: BuilderState.RUNNING if each in self.running else BuilderState.GONE for each in known}

    async def stop(self, handle, reason) -> None:
        if self.error is not None:
            raise self.error
        if self.on_stop is not None:
            await self.on_stop()
        self.running.discard(handle)
        self.stopped.append((handle, reason))

    async def tidy(self) -> None:
        pass

    async def last_words(self, handle) -> str:
        return ""

    async def check(self) -> None:
        if self.error is not None:
            raise self.error

    def kill(self, handle) -> None:
        self.running.discard(handle)
