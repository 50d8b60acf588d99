"""Which engine fills each role: the configured one, else the embedded one. Nothing else asks which one it has.

Opening never waits for an engine: one that is away is told by its first call, as Unavailable.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from gateway.config import Config
from gateway.launchers.process import ProcessLauncher
from gateway.launchers.sandbox import Grade
from gateway.roles import Launcher, LogStore, LogTransport, ObjectStore
from gateway.stores.blobs_directory import DirectoryObjectStore
from gateway.stores.logs_postgres import PostgresLogStore
from gateway.stores.postgres import Database
from gateway.transports import HttpLogTransport


@contextlib.asynccontextmanager
async def open_objects(config: Config) -> AsyncIterator[ObjectStore]:
    yield DirectoryObjectStore(config.data_directory / "objects")


@contextlib.asynccontextmanager
async def open_logs(config: Config, database: Database) -> AsyncIterator[LogStore]:
    yield PostgresLogStore(database)


@contextlib.asynccontextmanager
async def open_transport(config: Config) -> AsyncIterator[LogTransport]:
    yield HttpLogTransport()


@contextlib.asynccontextmanager
async def open_launcher(config: Config, grade: Callable[[], Grade]) -> AsyncIterator[Launcher]:
    yield ProcessLauncher(config.data_directory / "work", grade)
