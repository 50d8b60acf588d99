"""Applies the files of sql/ in order, each once, under a lock; refuses a file that was edited after it was applied."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import AsyncIterator
from importlib.resources.abc import Traversable
from pathlib import Path

import asyncpg

from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_words import PASSING_CLASSES
from gateway.errors import ConfigError

log = logging.getLogger(__name__)

LOCK_KEY = 0x6275696C64
"""An arbitrary number that all gateways share."""
FILE_SECONDS = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Migration:
    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


async def migrate(database: Database, folder: Traversable | Path) -> list[str]:
    """Apply what is not applied yet, and return its names. A file that fails changes nothing.

    Raises ConfigError for a file that differs from what was applied, for a database of a newer version and for one that
    is not in UTF-8. Raises Unavailable when the database is away.
    """
    migrations = read_migrations(folder)
    async with migrating(database) as connection:
        await check_encoding(connection)
        await connection.execute(
            """
            CREATE TABLE IF NOT EXISTS migrations (
                name text PRIMARY KEY,
                sha256 bytea NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        applied = await _read_applied(connection)
    check_known(migrations, applied)
    fresh = fresh_of(migrations, applied)
    return [migration.name for migration in fresh if await _apply(database, migration)]


async def check_encoding(connection: asyncpg.Connection) -> None:
    """Raises ConfigError."""
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise ConfigError(
            f"The database keeps text in {encoding}, in which not every name and log line can be written: make one"
            " WITH ENCODING 'UTF8' TEMPLATE template0."
        )


async def missing_migrations(database: Database, folder: Traversable | Path) -> list[str]:
    """What `migrate` would apply; nothing is changed. Raises what `migrate` raises."""
    migrations, applied = read_migrations(folder), {}
    async with database.acquire() as connection:
        if await connection.fetchval("SELECT to_regclass('migrations') IS NOT NULL"):
            applied = await _read_applied(connection)
    check_known(migrations, applied)
    return [migration.name for migration in fresh_of(migrations, applied)]


def read_migrations(folder: Traversable | Path) -> list[Migration]:
    """The *.sql files of the folder, by name. Raises ConfigError if there is none."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql")) if folder.is_dir() else []
    if not names:
        raise ConfigError(f"The folder {folder} holds no migrations: is the installation complete?")
    return [Migration(name, (folder / name).read_text(encoding="utf-8")) for name in names]


def fresh_of(migrations: list[Migration], applied: dict[str, bytes]) -> list[Migration]:
    """The migrations that are not applied yet. `applied`: sha256 by name. Raises ConfigError for an edited one."""
    for migration in migrations:
        if applied.get(migration.name, migration.sha256) != migration.sha256:
            raise ConfigError(
                f"The migration {migration.name} was edited after this database applied it."
                " Restore the file and put the change into a new one."
            )
    return [migration for migration in migrations if migration.name not in applied]


def check_known(migrations: list[Migration], applied: dict[str, bytes]) -> None:
    """Raises ConfigError for a database that a newer version has changed."""
    if unknown := sorted(applied.keys() - {migration.name for migration in migrations}):
        raise ConfigError(
            f"The database belongs to a newer version of Buildspace: it has the migration {unknown[-1]}, which this"
            " version does not know. Start the newer version, or restore a backup from before the upgrade."
        )


def describe_missing(names: list[str]) -> str:
    """The result of `missing_migrations` in words, for the doctor."""
    if not names:
        return "its tables are those of this version"
    which = "1 migration is" if len(names) == 1 else f"{len(names)} migrations are"
    return f"{which} not applied yet; `buildspace serve` applies them at start, `buildspace migrate` does so now"


async def _read_applied(connection: asyncpg.Connection) -> dict[str, bytes]:
    return {row["name"]: row["sha256"] for row in await connection.fetch("SELECT name, sha256 FROM migrations")}


@contextlib.asynccontextmanager
async def migrating(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A transaction in which no other process migrates and no gateway finishes its start.

    The lock belongs to the transaction, so it also ends with it behind a pooler.
    """
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY, timeout=FILE_SECONDS)
        await connection.execute("SET LOCAL lock_timeout = '10s'")
        yield connection


async def _apply(database: Database, migration: Migration) -> bool:
    """True if it was applied by this call: another gateway may have been faster."""
    async with migrating(database) as connection:
        if not fresh_of([migration], await _read_applied(connection)):
            return False
        await _execute(connection, migration)
        await connection.execute(
            "INSERT INTO migrations (name, sha256) VALUES ($1, $2)",
            migration.name,
            migration.sha256,
        )
    log.info("migration applied: %s", migration.name)
    return True


async def _execute(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        await connection.execute(migration.sql, timeout=FILE_SECONDS)
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "")[:2] in PASSING_CLASSES:
            raise
        raise ConfigError(f"The migration {migration.name} failed: {error}. Nothing of it was kept.") from error
