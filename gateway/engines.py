"""Opens the engine of each role: the configured one, else the embedded one. No other module asks which one is
configured.

Opening never waits for an engine: one that is away raises Unavailable from its first call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qs, urlsplit

from gateway.config import Config
from gateway.launchers.docker import open_docker
from gateway.launchers.ecs import open_ecs
from gateway.launchers.instance import instance_name
from gateway.launchers.process import ProcessLauncher
from gateway.launchers.sandbox import Grade
from gateway.migrations_clickhouse import migrate_clickhouse
from gateway.resources import clickhouse_migrations_folder
from gateway.roles import Launcher, LogStore, LogTransport, ObjectStore
from gateway.stores.blobs_directory import DirectoryObjectStore
from gateway.stores.blobs_s3 import open_s3
from gateway.stores.clickhouse import open_clickhouse
from gateway.stores.deployments import DeploymentStore
from gateway.stores.installation import InstallationStore
from gateway.stores.logs_clickhouse import ClickhouseLogStore
from gateway.stores.logs_postgres import PostgresLogStore
from gateway.stores.postgres import Database
from gateway.transports import HttpLogTransport, KafkaLogTransport

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
        async with open_s3(config.s3) as objects:
            yield objects
    else:
        yield DirectoryObjectStore(config.data_directory / "objects")


@contextlib.asynccontextmanager
async def open_logs(config: Config, database: Database) -> AsyncIterator[LogStore]:
    if config.clickhouse.host:
        async with open_clickhouse(config.clickhouse) as pool:
            folder = clickhouse_migrations_folder()
            yield ClickhouseLogStore(pool, lambda: migrate_clickhouse(pool, database, folder))
    else:
        yield PostgresLogStore(database)


@contextlib.asynccontextmanager
async def open_transport(config: Config, database: Database) -> AsyncIterator[LogTransport]:
    if not config.kafka.brokers:
        yield HttpLogTransport()
        return
    transport = KafkaLogTransport(
        config.kafka,
        config.builder.log_bytes,
        InstallationStore(database).install_key,
        DeploymentStore(database).is_known,
    )
    try:
        yield transport
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def open_launcher(config: Config, grade: Callable[[], Grade]) -> AsyncIterator[Launcher]:
    if config.ecs.cluster:
        async with open_ecs(config) as launcher:
            yield launcher
    elif config.docker.image:
        async with open_docker(config) as docker:
            yield docker
    else:
        yield ProcessLauncher(
            config.data_directory / "work",
            grade,
            instance=await asyncio.to_thread(instance_name, config.data_directory),
        )
