"""All production engines at once, for a gateway that uses nothing embedded. Each may be taken away and brought back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres
from tests.engines.clickhouse import ClickhouseServer, running_clickhouse
from tests.engines.ecs import EcsServer, running_ecs, running_moto
from tests.engines.kafka import KafkaBroker, running_kafka
from tests.engines.s3 import S3Server, environment_of, running_s3


@dataclasses.dataclass(frozen=True, slots=True)
class Servers:
    """Those that belong to no event loop."""

    kafka: KafkaBroker
    clickhouse: ClickhouseServer
    s3: S3Server
    moto: str


@dataclasses.dataclass(slots=True)
class Production:
    """`settings` are the variables of a gateway on these engines, but for the address of its builders' API."""

    servers: Servers
    postgres: EmbeddedPostgres
    ecs: EcsServer
    settings: dict[str, str]

    async def stop(self, engine: str) -> None:
        await self._do(engine, "stop")

    async def start(self, engine: str) -> None:
        await self._do(engine, "start")

    async def _do(self, engine: str, what: str) -> None:
        if engine in ("postgres", "ecs"):
            await getattr(getattr(self, engine), what)()
        else:
            await asyncio.to_thread(getattr(getattr(self.servers, engine), what))


@contextlib.contextmanager
def running_servers(folder: Path) -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:

        def below(name: str) -> Path:
            (folder / name).mkdir(parents=True)
            return folder / name

        yield Servers(
            kafka=stack.enter_context(running_kafka(below("kafka"))),
            clickhouse=stack.enter_context(running_clickhouse(below("clickhouse"))),
            s3=stack.enter_context(running_s3("versitygw", below("s3"))),
            moto=stack.enter_context(running_moto(below("moto"))),
        )


@contextlib.asynccontextmanager
async def running_production(servers: Servers, folder: Path) -> AsyncIterator[Production]:
    """A database, a bucket, a topic and a cluster of its own on these servers."""
    postgres = EmbeddedPostgres(folder)
    async with running_ecs(servers.moto, folder / "tasks", starts_builders=True) as ecs:
        try:
            url = await postgres.start()
            bucket = await asyncio.to_thread(servers.s3.make_bucket)
            settings = {
                "DATABASE_URL": url,
                "BUILDSPACE_BUILDER_ISOLATION": "basic",
                "KAFKA_BROKERS": servers.kafka.brokers,
                "KAFKA_TOPIC": f"lines-{bucket.bucket}",
                "BUILDSPACE_KAFKA_DEAD_LETTER_TOPIC": f"dead-letters-{bucket.bucket}",
                "CLICKHOUSE_HOST": "127.0.0.1",
                "BUILDSPACE_CLICKHOUSE_PORT": str(servers.clickhouse.port),
                "CLICKHOUSE_DATABASE": bucket.bucket.replace("-", "_"),
                **environment_of(bucket),
                **ecs.variables(),
            }
            yield Production(servers, postgres, ecs, settings)
        finally:
            await postgres.stop()
