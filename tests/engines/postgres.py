"""A real PostgreSQL for tests: one server, and an empty migrated database for each test that asks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres
from gateway.engines.postgres.postgres_migrations import migrate

MIGRATIONS = Path(__file__).parents[2] / "sql" / "postgres"
UNSAFE_BUT_QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


def older_than(name: str, folder: Path) -> Path:
    """The migrations before this one, in a new folder: what the versions knew that did not have it."""
    old = folder / f"before_{name}"
    old.mkdir()
    for path in MIGRATIONS.glob("*.sql"):
        if path.name < name:
            shutil.copy(path, old)
    return old


class PostgresServer:
    """Runs until `running_postgres` is left. Belongs to no event loop: each test may have its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = itertools.count(1)

    def url_of(self, name: str) -> str:
        return self.url.replace("/postgres?", f"/{name}?")

    async def create_empty_database(self) -> str:
        """The URL of a database without any table."""
        return await self._create(f"empty{next(self._numbers)}", "template1")

    async def create_database(self) -> str:
        """The URL of a migrated database that nobody else uses."""
        return await self._create(f"test{next(self._numbers)}", "migrated")

    async def prepare(self) -> None:
        async with open_pool(await self._create("migrated", "template1"), 2) as database:
            await migrate(database, MIGRATIONS)

    async def _create(self, name: str, template: str) -> str:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        finally:
            await connection.close()
        return self.url_of(name)


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[PostgresServer]:
    """A server below this folder. TEST_POSTGRES_BIN_DIR chooses another version's programs."""
    postgres = EmbeddedPostgres(folder, os.environ.get("TEST_POSTGRES_BIN_DIR", ""), UNSAFE_BUT_QUICK)
    try:
        server = PostgresServer(asyncio.run(postgres.start()))
        asyncio.run(server.prepare())
        yield server
    finally:
        asyncio.run(postgres.stop())
