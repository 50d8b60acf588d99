"""Connects a command to the configured database, whether a gateway runs or not."""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from gateway.config import Config
from gateway.engines.data_directory import lock_data_directory
from gateway.engines.postgres.database import Database, open_pool
from gateway.engines.postgres.embedded_postgres import DATABASE, USER, EmbeddedPostgres
from gateway.errors import ConfigError

COMMAND_POOL = 3
COMMAND = "buildspace command"
"""The name of a command's connections in pg_stat_activity."""


@contextlib.asynccontextmanager
async def reach_database(config: Config) -> AsyncIterator[Database]:
    """The configured database. The embedded one is started for the length of the block, unless a gateway is running it.

    Raises ConfigError and Unavailable.
    """
    async with contextlib.AsyncExitStack() as stack:
        url = config.postgres.url.reveal() or await _reach_embedded(config, stack)
        is_pooled = config.postgres.is_pooled and bool(config.postgres.url)
        yield await stack.enter_async_context(
            open_pool(url, COMMAND_POOL, is_pooled=is_pooled, application_name=COMMAND)
        )


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
