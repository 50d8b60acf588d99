"""Opens the engine of each role: the configured one, else the embedded one. No other module asks which one is
configured.

Opening never waits for an engine: one that is away raises Unavailable from its first call. A driver is imported by the
function that opens its engine: together they would add about 40 % to the processor time of each start.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from gateway.config import Config
from gateway.config.resources import clickhouse_migrations_folder
from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.engines.http_transport import HttpLogTransport
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_logs import PostgresLogStore
from gateway.engines.process.grades import Grade
from gateway.engines.process.instance import instance_name
from gateway.engines.process.process_launcher import ProcessLauncher
from gateway.roles import Launcher, LogStore, LogTransport, ObjectStore

USUAL_PORTS = {"http": 80, "https": 443}


def in_use(config: Config) -> list[str]:
    """The engines that are not embedded, in words, without secrets."""
    url = urlsplit(config.postgres.url.reveal())
    postgres = url.hostname or next(iter(parse_qs(url.query).get("host", [])), "its usual socket")
    found = {
        f"PostgreSQL at {postgres}": config.postgres.url,
        f"Kafka at {', '.join(config.kafka.brokers)}": config.kafka.brokers,
        f"ClickHouse at {config.clickhouse.server}": config.clickhouse.host,
        f"S3 bucket {config.s3.bucket}": config.s3.bucket,
        f"Docker at {config.docker.host}": config.docker.image,
        f"ECS cluster {config.ecs.cluster}": config.ecs.cluster,
    }
    return [words for words, is_set in found.items() if is_set]


def objects_folder(config: Config) -> Path | None:
    """The folder of the embedded object store. None: a bucket is configured."""
    return None if config.s3.bucket else config.data_directory / "objects"


def are_logs_in_database(config: Config) -> bool:
    return not config.clickhouse.host


def are_builders_on_other_machines(config: Config) -> bool:
    return bool(config.ecs.cluster)


def place_of_objects(config: Config) -> str:
    """Where this configuration keeps its objects, in words. Two configurations of one store give the same text."""
    if config.s3.bucket:
        return f"bucket {config.s3.bucket} at {_spelled(config.s3.endpoint) or f'S3 in {config.s3.region}'}"
    return str((config.data_directory / "objects").resolve())


def database_of(config: Config) -> str:
    """Two configurations of one database give the same text. It may hold a password: compare it, never show it."""
    return config.postgres.url.reveal() or str(config.data_directory.resolve())


def log_store_of(config: Config) -> tuple[str, str]:
    """Two configurations of one log store give the same pair. It may hold a password."""
    if config.clickhouse.host:
        return config.clickhouse.address, config.clickhouse.database
    return "PostgreSQL", database_of(config)


def _spelled(endpoint: str) -> str:
    """One spelling for all ways to write an address."""
    parts = urlsplit(endpoint)
    port = f":{parts.port}" if parts.port not in (None, USUAL_PORTS.get(parts.scheme)) else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}" if endpoint else ""


@contextlib.asynccontextmanager
async def open_objects(config: Config) -> AsyncIterator[ObjectStore]:
    if config.s3.bucket:
        from gateway.engines.s3.s3_objects import open_s3

        async with open_s3(config.s3) as objects:
            yield objects
    else:
        yield DirectoryObjectStore(config.data_directory / "objects")


@contextlib.asynccontextmanager
async def open_logs(config: Config, database: Database) -> AsyncIterator[LogStore]:
    if config.clickhouse.host:
        from gateway.engines.clickhouse.clickhouse_logs import ClickhouseLogStore
        from gateway.engines.clickhouse.clickhouse_migrations import migrate_clickhouse
        from gateway.engines.clickhouse.clickhouse_pool import open_clickhouse

        async with open_clickhouse(config.clickhouse) as pool:
            folder = clickhouse_migrations_folder()
            yield ClickhouseLogStore(pool, lambda: migrate_clickhouse(pool, database, folder))
    else:
        yield PostgresLogStore(database)


async def migrate_logs(config: Config, database: Database) -> list[str]:
    """Apply what is missing in the schema of a log store beside PostgreSQL. Returns the names of the migrations."""
    if not config.clickhouse.host:
        return []
    from gateway.engines.clickhouse.clickhouse_migrations import migrate_clickhouse
    from gateway.engines.clickhouse.clickhouse_pool import open_clickhouse

    async with open_clickhouse(config.clickhouse) as pool:
        return await migrate_clickhouse(pool, database, clickhouse_migrations_folder())


@contextlib.asynccontextmanager
async def open_transport(
    config: Config, install_key: Callable[[], Awaitable[bytes]], is_known: Callable[[uuid.UUID], Awaitable[bool]]
) -> AsyncIterator[LogTransport]:
    if not config.kafka.brokers:
        yield HttpLogTransport()
        return
    from gateway.engines.kafka.kafka_transport import KafkaLogTransport

    transport = KafkaLogTransport(
        config.kafka,
        config.builder.log_bytes,
        install_key,
        is_known,
        are_builders_walled=bool(config.docker.image),
    )
    try:
        yield transport
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def open_launcher(
    config: Config, grade: Callable[[], Grade], *, is_rehearsal: bool = False
) -> AsyncIterator[Launcher]:
    """`is_rehearsal`: for an examination; nothing is created in the data directory."""
    if config.ecs.cluster:
        from gateway.engines.ecs.ecs_launcher import open_ecs

        async with open_ecs(config) as launcher:
            yield launcher
    elif config.docker.image:
        from gateway.engines.docker.docker_launcher import open_docker

        async with open_docker(config) as docker:
            yield docker
    else:
        instance = "rehearsal" if is_rehearsal else await asyncio.to_thread(instance_name, config.data_directory)
        yield ProcessLauncher(
            config.data_directory / "work",
            grade,
            instance=instance,
            node_cache=config.data_directory / "cache" / "node",
            node_cache_bytes=config.builder.node_cache_bytes,
        )
