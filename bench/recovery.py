"""How soon a gateway notices that an engine is away, and uses it again: python -m bench.recovery [ROUNDS]"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from tests.engines.gateway import Gateway, eventually, running_gateway
from tests.engines.production import Production, Servers, running_production, running_servers

ENGINES = ("postgres", "kafka", "clickhouse", "s3", "ecs")
AWAY_SECONDS = 12.0
"""Long enough for every back-off to have reached its end."""


async def measure(servers: Servers, folder: Path, rounds: int) -> None:
    print("| engine away | `/ready` names it after | used again after its return: median | worst |")
    print("|---|---|---|---|")
    async with (
        running_production(servers, folder / "production") as production,
        running_gateway(folder, **production.settings) as gateway,
    ):
        for engine in ENGINES:
            figures = [await one_round(production, gateway, engine) for _ in range(rounds)]
            told, back = zip(*figures, strict=True)
            print(f"| {engine} | {max(told):.1f} s | {statistics.median(back):.1f} s | {max(back):.1f} s |", flush=True)


async def one_round(production: Production, gateway: Gateway, engine: str) -> tuple[float, float]:
    await production.stop(engine)
    told = await seconds_until(lambda: answers(gateway, 503))
    await asyncio.sleep(AWAY_SECONDS)
    await production.start(engine)
    return told, await seconds_until(lambda: answers(gateway, 200))


async def answers(gateway: Gateway, status: int) -> bool:
    try:
        return (await gateway.call("GET", "/ready"))[0] == status
    except aiohttp.ClientError:
        return False


async def seconds_until(look: Callable[[], Awaitable[bool]]) -> float:
    began = time.monotonic()
    await eventually(look, "it shows")
    return time.monotonic() - began


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, running_servers(Path(name)) as running:
        asyncio.run(measure(running, Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 3))
