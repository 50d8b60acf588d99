"""Opens the configured database, else the embedded one: for a gateway, and for a command beside a gateway or without
one."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import tempfile
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from gateway.background import Health
from gateway.config import Config, Data
from gateway.engines.data_directory import lock_data_directory
from gateway.engines.postgres.database import Database, open_pool
from gateway.engines.postgres.embedded_postgres import DATABASE, USER, EmbeddedPostgres
from gateway.errors import ConfigError, Unavailable

COMMAND_POOL = 3
COMMAND = "buildspace command"
"""The name of a command's connections in pg_stat_activity."""


def embedded_folder(config: Config) -> Path | None:
    """The folder of the embedded PostgreSQL. None: a server is configured."""
    return None if config.postgres.url else config.data_directory / "postgres"


@contextlib.asynccontextmanager
async def open_database(config: Config, health: Health) -> AsyncIterator[tuple[Database, EmbeddedPostgres | None]]:
    """The database of a gateway, which holds its data directory. An embedded server that does not start is a trouble in
    `health`; it is started later by its watch.
    """
    async with contextlib.AsyncExitStack() as stack:
        postgres, url = await _start_embedded(config, health, stack)
        is_pooled, is_embedded = config.postgres.is_pooled and postgres is None, postgres is not None
        pool = open_pool(url, config.postgres.pool_size, is_pooled=is_pooled, is_embedded=is_embedded)
        yield await stack.enter_async_context(pool), postgres


async def _start_embedded(
    config: Config, health: Health, stack: contextlib.AsyncExitStack
) -> tuple[EmbeddedPostgres | None, str]:
    if config.postgres.url:
        return None, config.postgres.url.reveal()
    postgres = EmbeddedPostgres(config.data_directory, config.postgres.bin_dir)
    stack.push_async_callback(postgres.stop)
    try:
        return postgres, await postgres.start()
    except Unavailable as error:
        if not postgres.url:
            raise
        health.trouble("postgres", error.sentence)
        return postgres, postgres.url


@contextlib.asynccontextmanager
async def try_database(config: Config) -> AsyncIterator[Database]:
    """The database, as `reach_database` opens it, for an examination that leaves nothing behind.

    If the embedded PostgreSQL was never started, one is started in a temporary folder of the data directory.
    """
    folder = embedded_folder(config)
    with contextlib.ExitStack() as stack:
        if folder is not None and not folder.exists():
            trial = tempfile.TemporaryDirectory(
                prefix=".doctor-", dir=config.data_directory, ignore_cleanup_errors=True
            )
            config = dataclasses.replace(config, data=Data(stack.enter_context(trial)))
        async with reach_database(config) as database:
            yield database


@contextlib.asynccontextmanager
async def reach_database(config: Config) -> AsyncIterator[Database]:
    """The configured database. The embedded one is started for the length of the block, unless a gateway is running it.

    Raises ConfigError and Unavailable.
    """
    async with contextlib.AsyncExitStack() as stack:
        url = config.postgres.url.reveal() or await _reach_embedded(config, stack)
        is_embedded = not config.postgres.url
        is_pooled = config.postgres.is_pooled and not is_embedded
        pool = open_pool(url, COMMAND_POOL, is_pooled=is_pooled, is_embedded=is_embedded, application_name=COMMAND)
        yield await stack.enter_async_context(pool)


async def _reach_embedded(config: Config, stack: contextlib.AsyncExitStack) -> str:
    try:
        stack.enter_context(lock_data_directory(config.data_directory))
    except ConfigError:
        if (url := stack.enter_context(_running_postgres(config.data_directory))) is None:
            raise
        return url
    # No gateway runs: a server that still runs was left by a command that was killed, and is ended first.
    return (await stack.enter_async_context(EmbeddedPostgres(config.data_directory, config.postgres.bin_dir))).url


def is_postgres_running(data_directory: Path) -> bool:
    with _running_postgres(data_directory) as url:
        return url is not None


@contextlib.contextmanager
def _running_postgres(data_directory: Path) -> Iterator[str | None]:
    """The URL of the embedded server if it runs, else None."""
    try:
        folder = os.open(data_directory / "postgres" / "socket", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield None
        return
    try:
        # Through a descriptor, because a socket's address is limited to some 100 bytes and the path may be longer.
        place = f"/proc/self/fd/{folder}"
        url = f"postgresql://{USER}@/{DATABASE}?host={urllib.parse.quote(place)}"
        yield url if _is_listening(f"{place}/.s.PGSQL.5432") else None
    finally:
        os.close(folder)


def _is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        return probe.connect_ex(path) == 0
