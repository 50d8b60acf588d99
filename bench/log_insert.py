"""How long inserts into ClickHouse block the loop: `python -m bench.log_insert` starts a server of its own.

"Held by us" is the time that the loop's thread computes between two turns. "Late" is the delay that a timer of the loop
sees, which other programs on the machine lengthen too.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop

from builder.protocol.lines import Line, LineBatch
from gateway.config import Clickhouse
from gateway.config.resources import clickhouse_migrations_folder
from gateway.engines.clickhouse.clickhouse_logs import ClickhouseLogStore
from gateway.engines.clickhouse.clickhouse_migrations import migrate_clickhouse
from gateway.engines.clickhouse.clickhouse_pool import open_clickhouse
from tests.engines.clickhouse import running_clickhouse

LINES, BATCH_LINES, ROUNDS = 50_000, 500, 5
TICK_SECONDS = 0.001


class NoDatabase:
    """There is only one gateway, so no lock is needed."""

    @contextlib.asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        yield


async def measure(settings: Clickhouse, text: str) -> None:
    async with open_clickhouse(settings) as pool:
        database: Any = NoDatabase()
        logs = ClickhouseLogStore(pool, lambda: migrate_clickhouse(pool, database, clickhouse_migrations_folder()))
        await logs.check()
        for _ in range(ROUNDS):
            await measure_append(logs, text)


async def measure_append(logs: ClickhouseLogStore, text: str) -> None:
    build, lines = uuid.uuid4(), tuple(Line(1_772_500_000_123, "stdout", "build", text) for _ in range(BATCH_LINES))
    batches = [LineBatch("bench", build, 1, first, lines) for first in range(1, LINES, BATCH_LINES)]
    began = time.perf_counter()
    appending = asyncio.ensure_future(logs.append(batches))
    held, late = [], []
    while not appending.done():
        computed, passed = time.thread_time(), time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        held.append(time.thread_time() - computed)
        late.append(time.perf_counter() - passed - TICK_SECONDS)
    await appending
    rate = LINES / (time.perf_counter() - began)
    print(
        f"{len(text):5} characters: {rate:8.0f} lines/s, held {max(held) * 1e3:5.1f} ms, late {max(late) * 1e3:5.1f} ms"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running_clickhouse(Path(folder) / "clickhouse") as server:
        for characters in (10, 80, 1000):
            uvloop.run(measure(server.settings, "x" * characters))


if __name__ == "__main__":
    main()
